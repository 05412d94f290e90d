// Does the steps of a scenario and prints, a line each, what the generated client saw.
// docs: begin
import axios, { AxiosError } from "axios";
import { getBinanceEuropeanOptionsUserDataStream } from "./generated/binance.js";
// docs: end
import type { BinanceError } from "./generated/binance.js";

const env = (name: string): string => process.env[name] ?? "";
const baseURL = env("BASE_URL");
// docs: begin
const headers = { "X-MBX-APIKEY": process.env.BINANCE_API_KEY };
const http = axios.create({ baseURL, headers, maxRedirects: 0 }); // a redirect would carry the API key away
const client = getBinanceEuropeanOptionsUserDataStream(http);
// docs: end

async function act(step: string): Promise<object> {
  if (step === "post") {
    // docs: begin
    const { listenKey, expiration } = (await client.startUserDataStream()).data;
    if (!listenKey) throw new AxiosError("no listen key in the answer"); // axios takes any text for an answer
    // docs: end
    return { key: listenKey, expiration: expiration === undefined ? null : String(expiration) };
  }
  if (step === "put") {
    // docs: begin
    // A fresh 60 minutes. The body of a 200, {} or nothing, says nothing.
    await client.keepaliveUserDataStream();
    // docs: end
  } else {
    await client.closeUserDataStream();
  }
  return { done: true };
}

function failure(error: unknown): object {
  if (!axios.isAxiosError<BinanceError>(error)) throw error;
  const { response } = error;
  return {
    error: true,
    status: response?.status,
    code: response?.data?.code,
    retryAfter: response?.headers["retry-after"],
  };
}

for (const step of env("STEPS").split(" ")) console.log(JSON.stringify(await act(step).catch(failure)));
