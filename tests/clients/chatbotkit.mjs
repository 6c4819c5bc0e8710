// The text of a stateless complete, and the ids of the conversations, as ChatBotKit's own SDK reads them.
import { ConversationClient } from "@chatbotkit/sdk/conversation/index.js";

const [origin, prompt] = process.argv.slice(2);
const client = new ConversationClient({ secret: "sk-dummy", host: new URL(origin).host, protocol: "http" });
let text = "";
const request = { messages: [{ type: "user", text: prompt }], model: "gpt-4o" };
for await (const { type, data } of client.complete(null, request).stream()) {
  if (type === "token") text += data.token;
}
const ids = [];
for await (const { type, data } of client.list({ take: 12 }).stream()) {
  if (type === "item") ids.push(data.id);
}
process.stdout.write(JSON.stringify({ text, ids }));
