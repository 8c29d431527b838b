// Plotly, loaded once and only when there is something to draw, in the page's own colours.

let loading = null;

/** The Plotly library of the installed Python package. */
export function plotly() {
  loading ??= (window.early?.library ?? loaded()).catch((error) => {
    loading = null;
    if (window.early) window.early.library = null;
    throw error;
  });
  return loading;
}

function loaded() {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = document.getElementById("study").dataset.plotly;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new TypeError("the drawing library cannot be loaded"));
    document.head.append(script);
  });
}

/** The style sheet's colours at this moment: they change with the scheme. */
export function colours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["paper", "raised", "ink", "soft", "faint", "rule", "accent", "accent-wash", "tint-low", "tint-mid", "tint-high"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

export function onSchemeChange(redraw) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}

/** What every figure shares. A zoom survives new data; fingers scroll the page rather than zoom. */
export function layout(colour, height) {
  const touch = matchMedia("(pointer: coarse)").matches;
  const family = getComputedStyle(document.body).fontFamily;
  return {
    autosize: true,
    height,
    margin: { l: 56, r: 16, t: 12, b: 52 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family, size: 13, color: colour.soft },
    hoverlabel: {
      align: "left",
      bgcolor: colour.raised,
      bordercolor: colour.rule,
      font: { family, size: 13, color: colour.ink },
    },
    hovermode: "closest",
    dragmode: touch ? false : "zoom",
    showlegend: false,
    uirevision: "kept",
  };
}

export function axis(colour, title, more = {}) {
  return {
    title: { text: title, standoff: 12, font: { size: 13, color: colour.soft } },
    gridcolor: colour.rule,
    linecolor: colour.rule,
    tickcolor: colour.rule,
    zeroline: false,
    automargin: true,
    nticks: 8,
    ...more,
  };
}

export const CONFIG = { displayModeBar: false, responsive: true, doubleClick: "reset", showTips: false };

/** Text for Plotly, which reads a small HTML of its own: nothing of it is left. */
export function plain(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}
