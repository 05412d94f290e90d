// Does the steps of a scenario and prints, a line each, what the generated client saw.
package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"strings"

	binance "scenarios/generated"
)

type seen map[string]any

func main() {
	baseURL := os.Getenv("BASE_URL")
	// README: begin
	withKey := func(_ context.Context, request *http.Request) error {
		request.Header.Set("X-MBX-APIKEY", os.Getenv("BINANCE_API_KEY"))
		return nil
	}
	client, err := binance.NewClientWithResponses(baseURL, binance.WithRequestEditorFn(withKey))
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

func failure(response *http.Response, errors ...*binance.BinanceError) seen {
	s := seen{"error": true, "status": response.StatusCode}
	if after := response.Header.Get("Retry-After"); after != "" {
		s["retryAfter"] = after
	}
	for _, e := range errors {
		if e != nil {
			s["code"] = e.Code
		}
	}
	return s
}

func act(ctx context.Context, client *binance.ClientWithResponses, step string) (seen, error) {
	switch step {
	case "post":
		// README: begin
		answer, err := client.StartUserDataStreamWithResponse(ctx)
		if err != nil {
			return nil, err
		}
		if answer.JSON200 == nil {
			return failure(answer.HTTPResponse, answer.JSON418, answer.JSON429, answer.JSON4XX, answer.JSON5XX), nil
		}
		key, expiration := answer.JSON200.ListenKey, answer.JSON200.Expiration
		// README: end
		if expiration == nil {
			return seen{"key": key, "expiration": nil}, nil
		}
		return seen{"key": key, "expiration": strconv.FormatInt(*expiration, 10)}, nil
	case "put":
		answer, err := client.KeepaliveUserDataStreamWithResponse(ctx)
		if err != nil {
			return nil, err
		}
		if answer.JSON200 == nil {
			return failure(answer.HTTPResponse, answer.JSON418, answer.JSON429, answer.JSON4XX, answer.JSON5XX), nil
		}
		return seen{"done": true}, nil
	default:
		answer, err := client.CloseUserDataStreamWithResponse(ctx)
		if err != nil {
			return nil, err
		}
		if answer.JSON200 == nil {
			return failure(answer.HTTPResponse, answer.JSON418, answer.JSON429, answer.JSON4XX, answer.JSON5XX), nil
		}
		return seen{"done": true}, nil
	}
}
