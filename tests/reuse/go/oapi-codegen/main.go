// Does the steps of a scenario and prints, a line each, what the generated client saw.
package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	binance "scenarios/generated"
)

type seen map[string]any

// docs: begin
func stay(*http.Request, []*http.Request) error { // a redirect would carry the API key to another host
	return http.ErrUseLastResponse
}

func withKey(_ context.Context, request *http.Request) error {
	request.Header.Set("X-MBX-APIKEY", os.Getenv("BINANCE_API_KEY"))
	return nil
}

// docs: end

func main() {
	baseURL := os.Getenv("BASE_URL")
	// docs: begin
	transport := &http.Client{CheckRedirect: stay, Timeout: 10 * time.Second}
	client, err := binance.NewClient(baseURL, binance.WithHTTPClient(transport), binance.WithRequestEditorFn(withKey))
	// docs: end
	if err != nil {
		panic(err)
	}
	for step := range strings.SplitSeq(os.Getenv("STEPS"), " ") {
		s, err := act(context.Background(), client, step)
		if err != nil { // the client's own way to say that there is no answer, or that it is not in the document
			s = seen{"error": true}
		}
		if err := json.NewEncoder(os.Stdout).Encode(s); err != nil {
			panic(err)
		}
	}
}

// failure tells the status and how long to wait before it looks at the body, which may be anything.
func failure(response *http.Response) seen {
	defer response.Body.Close()
	s := seen{"error": true, "status": response.StatusCode}
	if after := response.Header.Get("Retry-After"); after != "" { // seconds or a date
		s["retryAfter"] = after
	}
	var e binance.BinanceError
	if json.NewDecoder(response.Body).Decode(&e) == nil {
		s["code"] = e.Code
	}
	return s
}

func act(ctx context.Context, client *binance.Client, step string) (seen, error) {
	switch step {
	case "post":
		// docs: begin
		response, err := client.StartUserDataStream(ctx)
		if err != nil {
			return nil, err
		}
		if response.StatusCode != http.StatusOK {
			return failure(response), nil
		}
		answer, err := binance.ParseStartUserDataStreamResponse(response)
		if err != nil {
			return nil, err
		}
		if answer.JSON200 == nil || answer.JSON200.ListenKey == "" { // not JSON, or not with a key
			return failure(response), nil
		}
		key, expiration := answer.JSON200.ListenKey, answer.JSON200.Expiration
		// docs: end
		if expiration == nil {
			return seen{"key": key, "expiration": nil}, nil
		}
		return seen{"key": key, "expiration": strconv.FormatInt(*expiration, 10)}, nil
	case "put":
		// docs: begin
		// A fresh 60 minutes. The body of a 200, {} or nothing, says nothing.
		response, err := client.KeepaliveUserDataStream(ctx)
		if err != nil {
			return nil, err
		}
		if response.StatusCode != http.StatusOK {
			return failure(response), nil
		}
		response.Body.Close()
		// docs: end
		return seen{"done": true}, nil
	default:
		response, err := client.CloseUserDataStream(ctx)
		if err != nil {
			return nil, err
		}
		if response.StatusCode != http.StatusOK {
			return failure(response), nil
		}
		response.Body.Close()
		return seen{"done": true}, nil
	}
}
