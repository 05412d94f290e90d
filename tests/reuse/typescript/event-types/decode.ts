// Decodes each example of asyncapi.yaml into the generated types. Exit status 0: all could be read.
import { readFileSync } from "node:fs";
import { Convert, type Events } from "./events.js";

const examples: unknown[] = JSON.parse(readFileSync("examples.json", "utf8"));
const orders: string[] = [];
for (const example of examples) {
  const events: Events = Convert.toEvents(JSON.stringify(example)); // checks every type
  const order = events.ORDER_TRADE_UPDATE?.o;
  if (order) orders.push(`${order.c} ${order.X} ${order.ap}`);
}
if (examples.length < 7 || orders[0] !== "mm7-000418 FILLED 1756.2") throw new Error(`read ${orders}`);
console.log(`read ${examples.length} examples`);
