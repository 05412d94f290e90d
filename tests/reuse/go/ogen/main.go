// Does the steps of a scenario and prints, a line each, what the generated client saw.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	binance "scenarios/generated"
)

type seen map[string]any

// README: begin
type apiKey string

func (k apiKey) ApiKey(context.Context, binance.OperationName) (binance.ApiKey, error) {
	return binance.ApiKey{APIKey: string(k)}, nil
}

// README: end

func main() {
	baseURL := os.Getenv("BASE_URL")
	// README: begin
	client, err := binance.NewClient(baseURL, apiKey(os.Getenv("BINANCE_API_KEY")))
	// README: end
	if err != nil {
		panic(err)
	}
	for step := range strings.SplitSeq(os.Getenv("STEPS"), " ") {
		s, err := act(context.Background(), client, step)
		if err != nil { // the client's own way to say that the answer is not in the document
			s = seen{"error": true}
		}
		if err := json.NewEncoder(os.Stdout).Encode(s); err != nil {
			panic(err)
		}
	}
}

func act(ctx context.Context, client *binance.Client, step string) (seen, error) {
	switch step {
	case "post":
		// README: begin
		answer, err := client.StartUserDataStream(ctx)
		if err != nil {
			return nil, err
		}
		started, ok := answer.(*binance.ListenKeyResponseHeaders)
		if !ok {
			return failure(answer)
		}
		key, expiration := started.Response.ListenKey, started.Response.Expiration
		// README: end
		s := seen{"key": key, "expiration": nil}
		if milliseconds, ok := expiration.Get(); ok {
			s["expiration"] = strconv.FormatInt(milliseconds, 10)
		}
		return s, nil
	case "put":
		answer, err := client.KeepaliveUserDataStream(ctx)
		if err != nil {
			return nil, err
		}
		return failure(answer)
	default:
		answer, err := client.CloseUserDataStream(ctx)
		if err != nil {
			return nil, err
		}
		return failure(answer)
	}
}

// failure tells an error by its type; an answer without fields is none.
func failure(answer any) (seen, error) {
	switch answer := answer.(type) {
	case *binance.EmptyResponseHeaders:
		return seen{"done": true}, nil
	case *binance.BannedHeaders:
		return refusal(418, answer.Response, answer.RetryAfter), nil
	case *binance.RateLimitedHeaders:
		return refusal(429, answer.Response, answer.RetryAfter), nil
	case *binance.RefusedStatusCodeWithHeaders:
		return refusal(answer.StatusCode, answer.Response, binance.OptInt64{}), nil
	case *binance.ServerFaultStatusCodeWithHeaders:
		return refusal(answer.StatusCode, answer.Response, binance.OptInt64{}), nil
	default:
		return nil, fmt.Errorf("no such answer: %T", answer)
	}
}

func refusal(status int, body binance.BinanceError, retryAfter binance.OptInt64) seen {
	s := seen{"error": true, "status": status, "code": body.Code}
	if seconds, ok := retryAfter.Get(); ok {
		s["retryAfter"] = strconv.FormatInt(seconds, 10)
	}
	return s
}
