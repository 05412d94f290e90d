// Does the steps of a scenario and prints, a line each, what the generated client saw.
// docs: begin
import createClient from "openapi-fetch";
import type { paths } from "./generated/binance.js";
// docs: end
import type { components } from "./generated/binance.js";

const env = (name: string): string => process.env[name] ?? "";
const baseUrl = env("BASE_URL");
// docs: begin
const headers = { "X-MBX-APIKEY": process.env.BINANCE_API_KEY };
const client = createClient<paths>({ baseUrl, headers, redirect: "manual" }); // a redirect would carry the API key away
// docs: end

const failure = (response: Response, error?: components["schemas"]["BinanceError"]) => ({
  error: true,
  status: response.status,
  code: error?.code,
  retryAfter: response.headers.get("Retry-After"),
});

async function act(step: string): Promise<object> {
  if (step === "post") {
    // docs: begin
    const { data, error, response } = await client.POST("/eapi/v1/listenKey");
    if (!response.ok || !data?.listenKey) return failure(response, error);
    const { listenKey, expiration } = data;
    // docs: end
    return { key: listenKey, expiration: expiration === undefined ? null : String(expiration) };
  }
  if (step === "put") {
    // docs: begin
    // A fresh 60 minutes. The body of a 200, {} or nothing, says nothing.
    const { error, response } = await client.PUT("/eapi/v1/listenKey", { parseAs: "text" });
    if (!response.ok) return failure(response, error);
    // docs: end
    return { done: true };
  }
  const { error, response } = await client.DELETE("/eapi/v1/listenKey", { parseAs: "text" });
  return response.ok ? { done: true } : failure(response, error);
}

// openapi-fetch throws for a 200 that is not JSON, and for no answer.
const thrown = (error: unknown) => {
  if (error instanceof SyntaxError) return { error: true };
  throw error;
};

for (const step of env("STEPS").split(" ")) console.log(JSON.stringify(await act(step).catch(thrown)));
