// The answers of the API against its description: `node api.mjs ADDRESS OPENAPI`.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import Ajv from "ajv/dist/2020.js";
import formats from "ajv-formats";

const [address, file] = process.argv.slice(2);
const openapi = JSON.parse(readFileSync(file, "utf8"));
assert.equal(openapi.openapi, "3.1.0");
const ajv = formats(new Ajv({ allErrors: true, strict: true, allowUnionTypes: true }));
ajv.addKeyword("components");
ajv.addSchema({ $id: "https://twdiag/openapi", components: openapi.components });

let known = 0;
for (const [path, { get }] of Object.entries(openapi.paths)) {
  const answer = await fetch(`http://${address}${path}`);
  assert.equal(answer.status, 200, path);
  assert.equal(answer.headers.get("content-type"), "application/json", path);
  const value = await answer.json();
  const { schema } = get.responses["200"].content["application/json"];
  const of = schema.$ref ? { $ref: "https://twdiag/openapi" + schema.$ref } : schema;
  const check = ajv.compile(of);
  assert.ok(check(value), `${path}: ${ajv.errorsText(check.errors, { separator: "\n" })}`);
  // A check that lets everything pass is none.
  if (schema.$ref) {
    for (const key of Object.keys(value)) {
      const { [key]: _, ...less } = value;
      assert.ok(!check(less), `${path} without ${key}`);
    }
    assert.ok(!check({ ...value, more: 1 }), `${path} with more`);
  } else {
    assert.deepEqual(value, openapi);
  }
  known += 1;
}
console.log(known, "answers are as described");
