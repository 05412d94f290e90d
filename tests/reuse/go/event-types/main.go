// Decodes each example of asyncapi.yaml into the generated types, and writes it again without a loss.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
)

func exact(data []byte) any {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		panic(err)
	}
	return value
}

// mindCase holds what docs/other-languages.md says: a key of the other case overwrites a field, unless it has a field.
func mindCase() {
	frame := []byte(`{"s": "NORMAL", "S": "new"}`)
	var short struct {
		Level string `json:"s"`
	}
	var whole struct {
		Level string          `json:"s"`
		Other json.RawMessage `json:"S"`
	}
	if json.Unmarshal(frame, &short) != nil || json.Unmarshal(frame, &whole) != nil {
		panic("a frame was not read")
	}
	if short.Level != "new" || whole.Level != "NORMAL" {
		panic(fmt.Sprintf("read %q and %q", short.Level, whole.Level))
	}
}

func main() {
	mindCase()
	data, err := os.ReadFile("examples.json")
	if err != nil {
		panic(err)
	}
	var examples []json.RawMessage
	if err := json.Unmarshal(data, &examples); err != nil {
		panic(err)
	}
	for _, example := range examples {
		decoder := json.NewDecoder(bytes.NewReader(example))
		decoder.DisallowUnknownFields()
		var events Events
		if err := decoder.Decode(&events); err != nil {
			panic(err)
		}
		again, err := json.Marshal(events)
		if err != nil {
			panic(err)
		}
		sent, written := exact(example).(map[string]any), exact(again).(map[string]any)
		for _, both := range []map[string]any{sent, written} {
			if update, ok := both["ORDER_TRADE_UPDATE"].(map[string]any); ok {
				if order := update["o"].(map[string]any); order["N"] == nil {
					delete(order, "N") // null and absent are one
				}
			}
		}
		if !reflect.DeepEqual(sent, written) {
			panic(fmt.Sprintf("%s became %s", example, again))
		}
	}
	if len(examples) < 7 {
		panic("too few examples")
	}
	fmt.Printf("read and wrote %d examples\n", len(examples))
}
