// Keeps a listen key and prints the address of each stream; tests/reuse/keeping.py runs this with short minutes.
import { setTimeout as sleep } from "node:timers/promises";
import createClient from "openapi-fetch";
import type { paths } from "./generated/binance.js";

const headers = { "X-MBX-APIKEY": process.env.BINANCE_API_KEY };
const client = createClient<paths>({ baseUrl: process.env.BASE_URL ?? "", headers, redirect: "manual" });

// docs: begin
const minute = 60_000; // sleep is setTimeout of "node:timers/promises"
const stream = "wss://fstream.binance.com/private/ws/";

// Keeps the key for ever. `connect` gets the stream's address at first, and whenever the key is another one.
async function keep(connect: (address: string) => void): Promise<never> {
  for (let key = ""; ; ) {
    let wait = minute;
    try {
      // POST gives the live key a fresh 60 minutes. If the key has gone, POST makes a new key.
      const { data, response } = await client.POST("/eapi/v1/listenKey");
      if (response.ok && data?.listenKey) {
        wait = 27 * minute; // half of the life is left for tries
        if (data.listenKey !== key) connect(stream + (key = data.listenKey));
      } else {
        console.error("no listen key:", response.status);
        const asked = Number(response.headers.get("Retry-After")); // NaN for a date
        if (asked > 60) wait = asked * 1000;
      }
    } catch (error) {
      console.error("no listen key:", error); // no answer, or an answer that is not JSON
    }
    await sleep(wait);
  }
}
// docs: end

await keep((address) => console.log(address));
