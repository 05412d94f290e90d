// Makes TypeScript classes of asyncapi.yaml, and counts their fields. Exit status 0: each field of the document is there.
import { readFileSync } from "node:fs";
import { TypeScriptGenerator } from "@asyncapi/modelina";

const document = JSON.parse(readFileSync("asyncapi.json", "utf8"));

const propertyKey = ({ objectPropertyModel }) =>
  objectPropertyModel.property.originalInput?.["x-name"] ?? objectPropertyModel.propertyName;
const generator = new TypeScriptGenerator({ constraints: { propertyKey } });

const lost = async (made) => {
  const fields = {};
  for (const { modelName, model } of await made.generate(document)) fields[modelName] = Object.keys(model.properties ?? {});
  return Object.entries(document.components.schemas).filter(
    // additionalProperties is one more
    ([name, schema]) => fields[name]?.length !== Object.keys(schema.properties).length + 1,
  );
};

const missing = await lost(generator);
if (missing.length) throw new Error(`fields are lost: ${missing.map(([name]) => name)}`);
// What the rule is for: without it, one of each pair of keys that differ by case alone is lost, without a word.
if (!(await lost(new TypeScriptGenerator())).length) throw new Error("propertyKey is not needed any more");
console.log("no field is lost");
