"use strict";
(function () {
  const at = (id) => document.getElementById(id);
  let update = null, run = null;

  function element(tag, text, parent) {
    const made = document.createElement(tag);
    made.textContent = text;
    parent.append(made);
    return made;
  }

  function table(id, heads, rows, none) {
    const box = at(id);
    box.replaceChildren();
    if (!rows.length) { element("td", none, box.insertRow()); return; }
    const head = box.createTHead().insertRow();
    for (const name of heads) element("th", name, head);
    const body = box.createTBody();
    for (const row of rows) {
      const line = body.insertRow();
      row.forEach((value) => { element("td", value, line).className = typeof value === "number" ? "number" : ""; });
    }
  }

  function front(data) {
    // Another run may have other objectives.
    if (run !== data.run) { run = data.run; update = null; }
    // An older run of the store may have had a front.
    at("no-front").hidden = data.points.length > 0;
    at("explore").hidden = !data.points.length;
    if (!data.points.length) return;
    const problem = {
      names: data.names, ideal: data.ideal, span: data.span, points: data.points,
      algorithms: [{ name: data.algorithm, color: "#0072b2", symbol: "circle", solid: "circle" }],
    };
    if (update !== null) { update(problem); return; }
    const box = at("explore");
    box.querySelectorAll("select").forEach((select, axis) => {
      select.replaceChildren();
      data.names.forEach((name, j) => { element("option", name, select).value = String(j); });
      select.value = String(Math.min(axis, data.names.length - 1));
    });
    at("lines-frame").hidden = data.names.length < 3;
    update = exploreFront(box, problem, []);
  }

  function curve(data) {
    at("volume").hidden = !data.curve.length;
    if (!data.curve.length) return;
    const trace = { type: "scatter", mode: "lines", x: data.curve.map((p) => p[0]), y: data.curve.map((p) => 100 * p[1]),
      line: { color: "#0072b2", width: 2, shape: "hv" }, hovertemplate: "%{x} evaluations: %{y:.2f} %<extra></extra>" };
    const axes = { xaxis: { title: { text: "evaluations" } }, yaxis: { title: { text: "% of the box" } } };
    Plotly.react(at("curve"), [trace], { margin: { l: 64, r: 12, t: 12, b: 48 }, font: { size: 14 }, ...axes }, { responsive: true, displaylogo: false });
  }

  function show(data) {
    document.title = data.title;
    at("title").textContent = data.title;
    at("about").textContent = data.about;
    at("state").textContent = data.message;
    if (data.run === undefined) return;
    const done = at("done");
    done.hidden = data.share === null;
    done.value = data.share === null ? 0 : data.share;
    const tiles = at("tiles");
    tiles.replaceChildren();
    for (const [name, value] of data.tiles) {
      const tile = element("div", "", tiles);
      tile.className = "tile";
      element("b", value, tile);
      element("span", name, tile);
    }
    front(data);
    curve(data);
    table("failures", ["evaluations", "status", "last line of the error"], data.failures, "No evaluation has failed.");
    table("workers", ["worker", "evaluations"], data.workers, "No evaluation has been recorded.");
    document.documentElement.dataset.run = String(data.run);
    document.documentElement.dataset.evaluations = String(data.n_eval);
  }

  async function refresh() {
    let pause = 2000;
    try {
      const answer = await fetch("state.json", { cache: "no-store" });
      const data = await answer.json();
      show(data);
      pause = Math.max(pause, data.pause_ms);
    } catch (error) {
      at("state").textContent = "The command that serves this page has ended.";
    }
    window.setTimeout(refresh, pause);
  }
  refresh();
})();
