// AWS SDK for JavaScript v3: the credentials of the instance's role and nothing else, as one line of JSON: the access
// key id, or the error; "never settled" when the SDK forgets its promise, as it does of a body that breaks off.
import { fromInstanceMetadata } from "@aws-sdk/credential-providers";

let answer = { error: "never settled" };
process.on("exit", () => {
  console.log(JSON.stringify(answer));
  process.exitCode = 0;
});
try {
  const { accessKeyId } = await fromInstanceMetadata()();
  answer = { key: accessKeyId };
} catch (error) {
  answer = { error: error.name, message: error.message };
}
