// Asks for what takes longest while the page's modules are still on their way, and reads the drawing library as soon as
// the page was painted once. No module, so that it waits for none; `api.js` and `plot.js` take what was begun here.
{
  const { study, points, plotly } = document.currentScript.dataset;
  const asked = [study, points].map((path) => [path, fetch(path, { headers: { Accept: "application/json" }, cache: "no-cache" })]);
  for (const [, answer] of asked) answer.catch(() => null); // whoever takes it says what is wrong
  const read = () => new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = plotly;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new TypeError("the drawing library cannot be loaded"));
    document.head.append(script);
  });
  const library = plotly ? new Promise((painted) => requestAnimationFrame(() => setTimeout(painted))).then(read) : null;
  library?.catch(() => null);
  window.early = { answers: new Map(asked), library };
}
