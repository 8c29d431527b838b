// The page on which a token is exchanged for a session, and a session ended.

const refusal = document.querySelector("[role=alert]");

async function send(method, message) {
  const headers = { Accept: "application/json", "Content-Type": "application/json" };
  const response = await fetch("/v1/session", { method, headers, body: message && JSON.stringify(message) });
  if (response.ok) return true;
  const problem = await response.json().catch(() => null);
  refusal.textContent = problem?.detail ?? `the service answered ${response.status}`;
  return false;
}

/** Where to go on: a page of ours only, whatever the address says. */
function next() {
  const wanted = new URL(new URLSearchParams(location.search).get("next") ?? "/", location.origin);
  return wanted.origin === location.origin && wanted.pathname !== "/login" ? wanted.href : "/";
}

function on(form, action) {
  document.forms[form]?.addEventListener("submit", async (event) => {
    event.preventDefault();
    refusal.textContent = "";
    try {
      await action(event.target.elements);
    } catch (error) {
      refusal.textContent = `the service cannot be reached: ${error.message}`;
    }
  });
}

on("enter", async ({ token }) => {
  if (await send("POST", { token: token.value })) location.assign(next());
});
on("leave", async () => {
  if (await send("DELETE")) location.assign("/login");
});
