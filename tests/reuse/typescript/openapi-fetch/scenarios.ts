// Does the steps of a scenario and prints, a line each, what the generated client saw.
// README: begin
import createClient from "openapi-fetch";
import type { paths } from "./generated/binance.js";
// README: end
import type { components } from "./generated/binance.js";

const env = (name: string): string => process.env[name] ?? "";
const baseUrl = env("BASE_URL");
// README: begin
const headers = { "X-MBX-APIKEY": process.env.BINANCE_API_KEY };
const client = createClient<paths>({ baseUrl, headers });
// README: end

const failure = (response: Response, error?: components["schemas"]["BinanceError"]) => ({
  error: true,
  status: response.status,
  code: error?.code,
  retryAfter: response.headers.get("Retry-After"),
});

async function act(step: string): Promise<object> {
  if (step === "post") {
    // README: begin
    const { data, error, response } = await client.POST("/eapi/v1/listenKey");
    if (!data) return failure(response, error);
    const { listenKey, expiration } = data;
    // README: end
    return { key: listenKey, expiration: expiration === undefined ? null : String(expiration) };
  }
  const call = step === "put" ? client.PUT("/eapi/v1/listenKey") : client.DELETE("/eapi/v1/listenKey");
  const { data, error, response } = await call;
  return data ? { done: true } : failure(response, error);
}

for (const step of env("STEPS").split(" ")) console.log(JSON.stringify(await act(step)));
