// Does the steps of a scenario and prints, a line each, what the generated client saw.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	binance "scenarios/generated"
)

type seen map[string]any

// docs: begin
type apiKey string

func (k apiKey) ApiKey(context.Context, binance.OperationName) (binance.ApiKey, error) {
	return binance.ApiKey{APIKey: string(k)}, nil
}

// statusFirst keeps every answer but a 200 from the generated decoder, which loses the status of a body that it cannot
// read. It follows no redirect, because a redirect would carry the API key to another host.
type statusFirst struct{ http.Client }

type refused struct{ *http.Response }

func (r refused) Error() string { return r.Status }

func (c *statusFirst) Do(request *http.Request) (*http.Response, error) {
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := c.Client.Do(request)
	if err == nil && response.StatusCode != http.StatusOK {
		return nil, refused{response}
	}
	return response, err
}

// docs: end

func main() {
	baseURL := os.Getenv("BASE_URL")
	// docs: begin
	transport := &statusFirst{http.Client{Timeout: 10 * time.Second}}
	client, err := binance.NewClient(baseURL, apiKey(os.Getenv("BINANCE_API_KEY")), binance.WithClient(transport))
	// docs: end
	if err != nil {
		panic(err)
	}
	for step := range strings.SplitSeq(os.Getenv("STEPS"), " ") {
		s, err := act(context.Background(), client, step)
		if err != nil {
			s = failure(err)
		}
		if err := json.NewEncoder(os.Stdout).Encode(s); err != nil {
			panic(err)
		}
	}
}

func act(ctx context.Context, client *binance.Client, step string) (seen, error) {
	switch step {
	case "post":
		// docs: begin
		answer, err := client.StartUserDataStream(ctx)
		if err != nil {
			return nil, err
		}
		started, ok := answer.(*binance.ListenKeyResponseHeaders)
		if !ok { // cannot be: statusFirst lets nothing else through
			return nil, fmt.Errorf("no such answer: %T", answer)
		}
		key, expiration := started.Response.ListenKey, started.Response.Expiration
		// docs: end
		s := seen{"key": key, "expiration": nil}
		if milliseconds, ok := expiration.Get(); ok {
			s["expiration"] = strconv.FormatInt(milliseconds, 10)
		}
		return s, nil
	case "put":
		// docs: begin
		// A fresh 60 minutes. The body of a 200, {} or nothing, says nothing.
		if _, err := client.KeepaliveUserDataStream(ctx); err != nil {
			return nil, err
		}
		// docs: end
		return seen{"done": true}, nil
	default:
		if _, err := client.CloseUserDataStream(ctx); err != nil {
			return nil, err
		}
		return seen{"done": true}, nil
	}
}

// failure tells the status and how long to wait before it looks at the body, which may be anything.
func failure(err error) seen {
	s := seen{"error": true}
	var response refused
	if !errors.As(err, &response) {
		return s // no answer, or a 200 that is not in the document
	}
	defer response.Body.Close()
	s["status"] = response.StatusCode
	if after := response.Header.Get("Retry-After"); after != "" { // seconds or a date
		s["retryAfter"] = after
	}
	body, err := io.ReadAll(response.Body)
	var e binance.BinanceError
	if err == nil && e.UnmarshalJSON(body) == nil {
		s["code"] = e.Code
	}
	return s
}
