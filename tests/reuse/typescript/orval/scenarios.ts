// Does the steps of a scenario and prints, a line each, what the generated client saw.
import { isAxiosError } from "axios";
// README: begin
import { getBinanceEuropeanOptionsUserDataStream } from "./generated/binance.js";
// README: end
import type { BinanceError } from "./generated/binance.js";

const env = (name: string): string => process.env[name] ?? "";
const baseURL = env("BASE_URL");
// README: begin
const client = getBinanceEuropeanOptionsUserDataStream();
const options = { baseURL, headers: { "X-MBX-APIKEY": process.env.BINANCE_API_KEY } };
// README: end

async function act(step: string): Promise<object> {
  if (step === "post") {
    // README: begin
    const { listenKey, expiration } = (await client.startUserDataStream(options)).data;
    // README: end
    return { key: listenKey, expiration: expiration === undefined ? null : String(expiration) };
  }
  await (step === "put" ? client.keepaliveUserDataStream(options) : client.closeUserDataStream(options));
  return { done: true };
}

function failure(error: unknown): object {
  if (!isAxiosError<BinanceError>(error)) throw error;
  const { response } = error;
  return {
    error: true,
    status: response?.status,
    code: response?.data.code,
    retryAfter: response?.headers["retry-after"],
  };
}

for (const step of env("STEPS").split(" ")) console.log(JSON.stringify(await act(step).catch(failure)));
