// Decodes each example of asyncapi.yaml into the generated types. Exit status 0: all could be read, to the last digit.
import { readFileSync } from "node:fs";
import { Convert, type Events } from "./events.js";

// JSON.parse rounds integers above 2⁵³, and so names another order. Such integers become text before JSON.parse reads them.
const exact = (json: string): string => json.replace(/(?<=[:,[]\s*)-?\d{16,}(?=\s*[,}\]])/g, '"$&"');

const orders: unknown[][] = [];
const examples: unknown[] = JSON.parse(exact(readFileSync("examples.json", "utf8")));
for (const example of examples) {
  const events: Events = Convert.toEvents(JSON.stringify(example)); // checks every type
  const order = events.ORDER_TRADE_UPDATE?.o;
  if (order) orders.push([order.c, order.X, order.ap, order.i, order.t]);
}
const expected = ["mm7-000418", "FILLED", "1756.2", "4612088731905527811", 219];
if (examples.length < 7 || JSON.stringify(orders[0]) !== JSON.stringify(expected)) throw new Error(`read ${orders}`);
// What the text is for: JSON.parse alone reads another number, and the types allow both.
if (String(JSON.parse("4612088731905527811")) === "4612088731905527811") throw new Error("exact() is not needed any more");
const types = readFileSync("events.ts", "utf8");
if (!/up to 64 bits\.\s*\*\/\s*i: +(number \| string|string \| number);/.test(types)) throw new Error("the types say nothing of large IDs");
console.log(`read ${examples.length} examples`);
