// The text of a streamMessage, read by the parser that Typebot's own embed uses.
import { processDataStream } from "@ai-sdk/ui-utils";

const [origin, prompt] = process.argv.slice(2);
const post = (path, body) =>
  fetch(origin + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
const started = await (await post("/api/v1/typebots/demo/startChat", { isStreamEnabled: true })).json();
const session = `sessions/${started.sessionId}`;
await post(`/api/v1/${session}/continueChat`, { message: { type: "text", text: prompt } });
const reply = await post(`/api/v2/${session}/streamMessage`, {});
let text = "";
await processDataStream({ stream: reply.body, onTextPart: (part) => void (text += part) });
process.stdout.write(JSON.stringify({ text }));
