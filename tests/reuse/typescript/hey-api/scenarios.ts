// Does the steps of a scenario and prints, a line each, what the generated client saw.
// README: begin
import { client } from "./generated/client.gen.js";
import { startUserDataStream } from "./generated/index.js";
import { zListenKeyResponse } from "./generated/zod.gen.js";
// README: end
import { closeUserDataStream, keepaliveUserDataStream } from "./generated/index.js";

const env = (name: string): string => process.env[name] ?? "";
const baseUrl = env("BASE_URL");
// README: begin
client.setConfig({ baseUrl, auth: () => process.env.BINANCE_API_KEY });
// README: end

async function act(step: string): Promise<object> {
  if (step === "post") {
    // README: begin
    const { data, error, response } = await startUserDataStream();
    if (!data) return failure(response, error);
    const { listenKey, expiration } = zListenKeyResponse.parse(data);
    // README: end
    return { key: listenKey, expiration: expiration === undefined ? null : String(expiration) };
  }
  const { data, error, response } = await (step === "put" ? keepaliveUserDataStream() : closeUserDataStream());
  return data ? { done: true } : failure(response, error);
}

function failure(response: Response | undefined, error?: { code?: number } | string): object {
  const code = typeof error === "object" ? error.code : undefined;
  return { error: true, status: response?.status, code, retryAfter: response?.headers.get("Retry-After") };
}

for (const step of env("STEPS").split(" ")) console.log(JSON.stringify(await act(step)));
