// Does the steps of a scenario and prints, a line each, what the generated client saw.
// docs: begin
import { client } from "./generated/client.gen.js";
import { startUserDataStream } from "./generated/index.js";
import { zListenKeyResponse } from "./generated/zod.gen.js";
// docs: end
import { closeUserDataStream, keepaliveUserDataStream } from "./generated/index.js";

const env = (name: string): string => process.env[name] ?? "";
const baseUrl = env("BASE_URL");
// docs: begin
const auth = () => process.env.BINANCE_API_KEY;
client.setConfig({ baseUrl, auth, redirect: "manual" }); // a redirect would carry the API key away
// docs: end

async function act(step: string): Promise<object> {
  if (step === "post") {
    // docs: begin
    const { data, error, response } = await startUserDataStream();
    if (!response?.ok) return failure(response, error);
    const answer = zListenKeyResponse.safeParse(data);
    if (!answer.success) return failure(response);
    const { listenKey, expiration } = answer.data;
    // docs: end
    return { key: listenKey, expiration: expiration === undefined ? null : String(expiration) };
  }
  if (step === "put") {
    // docs: begin
    // A fresh 60 minutes. The body of a 200, {} or nothing, says nothing.
    const { error, response } = await keepaliveUserDataStream();
    if (!response?.ok) return failure(response, error);
    // docs: end
    return { done: true };
  }
  const { error, response } = await closeUserDataStream();
  return response?.ok ? { done: true } : failure(response, error);
}

function failure(response: Response | undefined, error?: { code?: number } | string): object {
  const code = typeof error === "object" ? error.code : undefined;
  return { error: true, status: response?.status, code, retryAfter: response?.headers.get("Retry-After") };
}

for (const step of env("STEPS").split(" ")) console.log(JSON.stringify(await act(step)));
