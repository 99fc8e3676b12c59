"use strict";
const exploreFront = (function () {
  const layout = {
    margin: { l: 64, r: 12, t: 12, b: 56 },
    font: { size: 14 },
    hovermode: "closest",
    hoverlabel: { align: "left", font: { size: 12 } },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", itemsizing: "constant" },
  };
  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };

  // Plotly reads a little HTML in labels: what comes from data is made plain first.
  const plain = (text) =>
    String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  // The middle of a long name is left out; hovering shows all of it.
  const short = (text, most) => {
    const all = Array.from(String(text));
    if (all.length <= most) return plain(text);
    return plain(`${all.slice(0, Math.ceil(most / 2)).join("")}…${all.slice(1 - Math.floor(most / 2)).join("")}`);
  };
  const number = (v) => (Number.isFinite(v) ? Number(v.toPrecision(6)).toString() : String(v));

  function hasWebGL() {
    try {
      const context = document.createElement("canvas").getContext("webgl");
      return context !== null;
    } catch (error) {
      return false;
    }
  }

  function hover(problem, point) {
    const lines = problem.names.map((name, j) => `${plain(name)} = ${number(point.f[j])}`);
    lines.unshift(`<b>${plain(problem.algorithms[point.a].name)}</b>`);
    if (point.brief) {
      for (const line of point.brief) lines.push(plain(line));
    }
    return lines.join("<br>");
  }

  // Draws the front of `problem` into `box`; rows of tables with a point's number pick that point.
  // The function returned draws another state of the same front.
  function exploreFront(box, problem, rows) {
    const plot = box.querySelector(".plot");
    const lines = box.querySelector(".lines");
    const panel = box.querySelector(".picked");
    const [xs, ys, kind] = box.querySelectorAll("select");
    let groups, shown, texts, chosen = null;

    function arrange() {
      groups = problem.algorithms.map(() => []);
      problem.points.forEach((point, i) => groups[point.a].push(i));
      shown = groups.map((ids, a) => a).filter((a) => groups[a].length);
      texts = problem.points.map((point) => hover(problem, point));
    }
    arrange();

    const axis = (name) => ({ title: { text: plain(name) }, zeroline: false });

    function flat() {
      const [x, y] = [Number(xs.value), Number(ys.value)];
      const traces = shown.map((a) => {
        const look = problem.algorithms[a];
        return {
          type: "scatter", mode: "markers", name: short(look.name, 28), ids: groups[a],
          x: groups[a].map((i) => problem.points[i].f[x]),
          y: groups[a].map((i) => problem.points[i].f[y]),
          text: groups[a].map((i) => texts[i]), customdata: groups[a],
          hovertemplate: "%{text}<extra></extra>",
          marker: { color: look.color, symbol: look.symbol, size: 8, opacity: 0.8 },
        };
      });
      if (chosen !== null) {
        const f = problem.points[chosen].f;
        traces.push({
          type: "scatter", mode: "markers", name: "picked", x: [f[x]], y: [f[y]], hoverinfo: "skip",
          showlegend: false,
          marker: { color: "rgba(0,0,0,0)", size: 18, line: { color: "black", width: 3 } },
        });
      }
      const axes = { xaxis: axis(problem.names[x]), yaxis: axis(problem.names[y]) };
      // A zoom is kept when new points come, until other objectives are chosen.
      return [traces, { ...layout, ...axes, uirevision: `${x} ${y}` }];
    }

    function deep() {
      const traces = shown.map((a) => {
        const look = problem.algorithms[a];
        const at = (j) => groups[a].map((i) => problem.points[i].f[j]);
        return {
          type: "scatter3d", mode: "markers", name: short(look.name, 28), x: at(0), y: at(1), z: at(2),
          text: groups[a].map((i) => texts[i]), customdata: groups[a],
          hovertemplate: "%{text}<extra></extra>",
          marker: { color: look.color, symbol: look.solid, size: 4, opacity: 0.85 },
        };
      });
      if (chosen !== null) {
        const f = problem.points[chosen].f;
        traces.push({
          type: "scatter3d", mode: "markers", name: "picked", x: [f[0]], y: [f[1]], z: [f[2]],
          hoverinfo: "skip", showlegend: false,
          marker: { color: "black", size: 9, symbol: "circle-open", line: { width: 3 } },
        });
      }
      const [x, y, z] = problem.names.map((name) => ({ title: { text: plain(name) } }));
      const scene = { xaxis: x, yaxis: y, zaxis: z, camera: { eye: { x: 1.6, y: 1.4, z: 1.0 }, center: { x: 0, y: 0, z: -0.12 } } };
      return [traces, { ...layout, margin: { l: 0, r: 0, t: 12, b: 0 }, scene }];
    }

    function draw() {
      const solid = kind !== undefined && kind.value === "3d";
      const [traces, look] = solid ? deep() : flat();
      xs.disabled = ys.disabled = solid;
      return Plotly.react(plot, traces, look, config);
    }

    function drawLines() {
      if (!lines) return;
      const at = problem.names.map((name, j) => j);
      const scale = (f) => f.map((v, j) => (v - problem.ideal[j]) / problem.span[j]);
      const traces = shown.map((a) => {
        // One trace an algorithm, a gap between its lines.
        const x = [], y = [], ids = [], text = [];
        const step = Math.ceil(groups[a].length / 60);
        for (const i of groups[a].filter((id, k) => k % step === 0)) {
          x.push(...at, null);
          y.push(...scale(problem.points[i].f), null);
          for (let j = 0; j <= at.length; j += 1) { ids.push(i); text.push(texts[i]); }
        }
        const look = problem.algorithms[a];
        return {
          type: "scatter", mode: "lines+markers", name: plain(look.name), x, y, text, customdata: ids,
          hovertemplate: "%{text}<extra></extra>", opacity: 0.45, showlegend: false,
          line: { color: look.color, width: 1 }, marker: { size: 4, color: look.color },
        };
      });
      if (chosen !== null) {
        traces.push({
          type: "scatter", mode: "lines", x: at, y: scale(problem.points[chosen].f), hoverinfo: "skip",
          line: { color: "black", width: 4 }, showlegend: false,
        });
      }
      // As many letters as fit side by side; more than a few objectives have turned labels.
      const room = Math.floor((lines.clientWidth - 76) / at.length / 8);
      const labels = problem.names.map((name) => short(name, Math.max(room, 14)));
      const xaxis = { tickvals: at, ticktext: labels, zeroline: false, automargin: true, ticklabeloverflow: "allow" };
      // Half of the first and last label lies beyond their ticks.
      if (problem.names.some((name) => 2 * name.length > room)) xaxis.range = [-0.5, at.length - 0.5];
      const yaxis = { title: { text: "0 best, 1 worst" }, zeroline: false };
      Plotly.react(lines, traces, { ...layout, xaxis, yaxis }, config);
    }

    function add(tag, text) {
      const element = document.createElement(tag);
      element.textContent = text;
      panel.append(element);
      return element;
    }

    function pick(i) {
      const point = problem.points[i];
      chosen = i;
      panel.replaceChildren();
      panel.dataset.point = String(i);
      for (const row of rows) row.classList.toggle("chosen", Number(row.dataset.point) === i);
      add("h3", problem.algorithms[point.a].name);
      const table = add("table", "");
      problem.names.forEach((name, j) => {
        const row = table.insertRow();
        row.insertCell().textContent = name;
        const cell = row.insertCell();
        cell.className = "number";
        cell.textContent = number(point.f[j]);
      });
      if (point.decoded) {
        add("h3", "What it stands for");
        add("pre", point.decoded).className = "decoded";
      }
      add("h3", "Its variables");
      add("pre", point.x === null ? "not known" : point.x).className = "design";
      draw();
      drawLines();
    }

    const onClick = (event) => {
      const id = event.points[0].customdata;
      if (id !== undefined) pick(id);
    };
    for (const select of box.querySelectorAll("select")) select.addEventListener("change", draw);
    if (kind !== undefined) kind.value = hasWebGL() ? "3d" : "2d";
    draw().then(() => plot.on("plotly_click", onClick));
    drawLines();
    if (lines) lines.on("plotly_click", onClick);
    const show = (row) => {
      pick(Number(row.dataset.point));
      box.scrollIntoView({ behavior: "smooth" });
    };
    for (const row of rows) {
      row.addEventListener("click", () => show(row));
      row.addEventListener("keydown", (event) => { if (event.key === "Enter") show(row); });
    }
    // A page that shows a design at once says what can be seen there.
    if (rows.length) pick(Number(rows[0].dataset.point));

    return function update(next) {
      const f = chosen === null ? null : JSON.stringify(problem.points[chosen].f);
      problem = next;
      arrange();
      const again = problem.points.findIndex((point) => JSON.stringify(point.f) === f);
      chosen = again < 0 ? null : again;
      draw();
      drawLines();
    };
  }

  return exploreFront;
})();
