"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const make = (parent, kind, name = "", text = "") => {
    const made = document.createElement(kind);
    if (name) made.className = name;
    if (text !== "") made.textContent = text;
    parent.append(made);
    return made;
  };
  const look = data.look, updates = data.updates, total = updates.length;
  const segments = data.segments.length;
  const clues = new Set(look.clues), counted = new Set(data.counted);
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const percent = (share) => (share === null ? "–" : `${(100 * share).toFixed(0)} %`);
  const short = (value) => (value === null ? "–" : Math.abs(value) >= 0.01 && Math.abs(value) < 1000 ? value.toFixed(value < 1 ? 3 : 2) : value.toExponential(1));
  const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

  // What each level says after each update: where an update did not change it, what it said before.
  const said = {};
  for (const level of data.levels) {
    said[level] = [data.start[level]];
    for (const update of updates) said[level].push(update.read[level] ?? said[level].at(-1));
  }
  const fresh = (frame, level) => frame > 0 && Boolean(updates[frame - 1].read[level]);
  const ends = data.segments.map((_, at) => updates.filter((update) => update.segment <= at + 1).length);

  // Grids.
  const line = look.rows === 1, texts = look.written && Object.values(look.colors).every((color) => color === null);
  const canvas = look.canvas ?? look.rows;
  const wide = Object.values(look.texts).some((text) => text.length > 1);
  function board(parent, title, little) {
    const panel = make(parent, "div", ["panel", texts ? "text" : "color", line ? "row" : "", wide ? "wide" : "", little ? "little" : ""].join(" ").trim());
    const head = make(panel, "h2");
    make(head, "b", "", title);
    const note = make(head, "span");
    const grid = make(make(panel, "div", "board"), "div", "grid");
    grid.setAttribute("role", "img");
    grid.style.setProperty("--columns", look.columns);
    grid.style.gridTemplateColumns = `repeat(${look.columns}, minmax(0, 1fr))`;
    const cells = data.question.map((_, at) => {
      const cell = make(grid, "span", "cell"), row = Math.floor(at / look.columns), column = at % look.columns;
      cell.dataset.cell = at;
      if (clues.has(at)) cell.classList.add("clue");
      if (look.boxes && column && column % look.boxes[1] === 0) cell.classList.add("box-left");
      if (row && ((look.boxes && row % look.boxes[0] === 0) || row % canvas === 0)) cell.classList.add("box-top");
      return cell;
    });
    return { title, panel, note, grid, cells, shown: null, rings: [] };
  }
  function fill(target, reading, changed) {
    if (target.shown !== reading) {
      const wrong = new Set(reading.wrong ?? []);
      target.cells.forEach((cell, at) => {
        const token = reading.tokens[at], sure = reading.confidence?.[at] ?? null;
        if (cell.dataset.token !== String(token)) {
          cell.dataset.token = token;
          if (texts) cell.textContent = look.texts[token];
          else {
            cell.replaceChildren(document.createElement("i"));
            if (look.written && look.texts[token]) make(cell, "b", "", look.texts[token]);
            cell.style.setProperty("--t", look.colors[token]);
          }
        }
        if (reading.confidence) {
          cell.classList.toggle("sure", sure !== null);
          cell.style.setProperty("--c", sure === null ? 1 : sure / 100);
        }
        cell.classList.toggle("wrong", wrong.has(at));
      });
      target.shown = reading;
    }
    target.rings.forEach((at) => target.cells[at].classList.remove("changed"));
    target.rings = changed;
    changed.forEach((at) => target.cells[at].classList.add("changed"));
    const wrong = (reading.wrong ?? []).length;
    const state = [data.answer && reading.wrong && data.error === null ? (wrong ? `${wrong} wrong` : "right") : "", changed.length ? `${changed.length} changed` : ""];
    target.note.textContent = state.filter(Boolean).join(", ");
    target.grid.setAttribute("aria-label", [`${target.title}, ${look.rows} by ${look.columns} cells`, ...state.filter(Boolean)].join(", "));
  }
  byId("levels").style.setProperty("--least", line ? "24rem" : look.columns > 12 ? "17rem" : "8.5rem");
  byId("given").style.setProperty("--little", line ? "20rem" : look.columns > 12 ? "11rem" : "8.4rem");
  const boards = Object.fromEntries(data.levels.map((level) => [level, board(byId("levels"), level, false)]));
  const given = [[board(byId("given"), "question", true), data.question]];
  if (data.answer) given.push([board(byId("given"), "right answer", true), data.answer]);
  for (const [target, tokens] of given) fill(target, { tokens, confidence: null, wrong: null }, []);

  // Curves: one unit across for each update.
  const tracks = byId("tracks");
  const cursors = [];
  function track(title, low, high) {
    const made = make(tracks, "div", "track"), head = make(made, "h2");
    make(head, "b", "", title);
    const value = make(head, "span"), axis = make(made, "div", "axis"), ends = make(axis, "div", "ends");
    make(ends, "span", "", high);
    make(ends, "span", "", low);
    const over = make(axis, "div", "over");
    cursors.push(make(over, "div", "cursor"));
    return { over, value };
  }
  function plot(title, paths, low, high, show = short) {
    const { over, value } = track(title, show(low), show(high)), area = make(over, "div", "plot");
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", `0 0 ${total} 100`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `${title} over ${plural(total, "update")}, from ${show(low)} to ${show(high)}`);
    for (const [name, d] of paths) {
      const path = document.createElementNS(svg.namespaceURI, "path");
      if (name) path.setAttribute("class", name);
      path.setAttribute("d", d);
      svg.append(path);
    }
    area.append(svg);
    return value;
  }
  const height = (value, low, high) => (100 * (1 - (value - low) / (high - low || 1))).toFixed(2);
  const through = (points, low, high) => points.filter(([, value]) => value !== null)
    .map(([x, value], at) => `${at ? "L" : "M"}${x} ${height(value, low, high)}h0`).join("");

  const time = track("segments and their updates", "updates", "");
  const bar = make(time.over, "div");
  bar.id = "time";
  data.segments.forEach((judged, at) => {
    const own = updates.filter((update) => update.segment === at + 1), part = make(bar, "div", "segment");
    part.style.flex = String(own.length);
    if (total > 90) part.classList.add("dense");
    const stops = data.stops === at + 1;
    const number = make(part, "div", stops ? "number stop" : "number", stops ? `${at + 1} ■` : segments <= 16 || (at + 1) % 4 === 0 ? at + 1 : "");
    if (stops) number.title = "the stopping rule would stop here";
    const ticks = make(part, "div", "ticks");
    own.forEach((update) => make(ticks, "span", ["tick", update.level === "answer" ? "answer" : "", update.gradient ? "gradient" : ""].join(" ").trim()));
  });
  time.value.textContent = data.stops ? `■ stops after ${data.stops}` : "never stops by itself";

  const values = [];
  const judges = data.segments.some((judged) => judged.confidence !== null);
  const scores = data.segments.map((judged) => (judges ? judged.confidence : judged.score[0] ?? null));
  const steps = (list, low, high) => list.map((value, at) => (value === null ? "" : `M${at ? ends[at - 1] : 0} ${height(value, low, high)}H${ends[at]}`)).join("");
  const known = scores.filter((value) => value !== null);
  if (known.length) {
    const [low, high] = judges ? [0, 1] : [Math.min(0, ...known), Math.max(...known)];
    const value = plot(judges ? "halting score: the answer is right" : "halting score", [["", steps(scores, low, high)]], low, high, judges ? percent : short);
    values.push((frame) => {
      const done = ends.filter((end) => end <= frame).length;
      value.textContent = done ? (judges ? percent : short)(scores[done - 1]) : "–";
    });
  }
  const written = [...new Set(updates.map((update) => update.level))];
  const logs = updates.map((update) => (update.change > 0 ? Math.log10(update.change) : null));
  const finite = logs.filter((value) => value !== null);
  if (finite.length) {
    const [low, high] = [Math.min(...finite), Math.max(...finite)], styles = ["", "other", "third"];
    const names = written.map((level, at) => [level, styles[level === "answer" ? 0 : Math.min(2, written.includes("answer") && written.indexOf("answer") > at ? at + 1 : at)]]);
    const paths = names.map(([level, style]) => [style, through(updates.map((update, at) => [at + 1, update.level === level ? logs[at] : null]), low, high)]);
    const legend = written.length > 1 ? ` (log; answer solid, ${written.filter((level) => level !== "answer").join(" and ")} dashed)` : " (log)";
    const value = plot(`residual${legend}`, paths, low, high, (log) => short(10 ** log));
    values.push((frame) => { value.textContent = frame ? short(updates[frame - 1].change) : "–"; });
  }
  const mean = (reading) => {
    const sure = reading.confidence.filter((value) => value !== null);
    return sure.length ? sure.reduce((sum, value) => sum + value, 0) / sure.length / 100 : null;
  };
  const sure = [mean(data.start.answer), ...updates.map((update) => update.sure)];
  if (sure.some((value) => value !== null)) {
    const value = plot("mean token confidence", [["", through(sure.map((share, at) => [at, share]), 0, 1)]], 0, 1, percent);
    values.push((frame) => { value.textContent = percent(sure[frame]); });
  }
  if (data.answer && data.error === null) {
    const wrong = said.answer.map((reading) => reading.wrong.length), most = Math.max(1, ...wrong);
    const value = plot("wrong cells", [["", through(wrong.map((count, at) => [at, count]), 0, most)]], 0, most, String);
    values.push((frame) => { value.textContent = `${wrong[frame]} of ${counted.size}`; });
  }

  // Words.
  const final = said.answer[ends[data.predicted - 1]];
  const outcome = !data.answer ? "" : data.error !== null ? `: error ${percent(data.error)}` : final.wrong.length ? `: ${final.wrong.length} wrong` : ": right";
  const stopped = data.stops === data.predicted && data.stops < segments;
  const after = stopped ? `predict stops after segment ${data.stops} of ${segments}${outcome}.` : `predict answers after ${plural(segments, "segment")}${outcome}.`;
  const rule = stopped ? "" : data.stops === null ? " Its rule never stops it." : ` Its rule would stop it after segment ${data.stops}.`;
  byId("verdict").textContent = after.replace("predict", "The prediction") + rule;
  byId("parts").textContent = Object.entries(data.parts).map(([axis, part]) => `${axis} ${part}`).join(" · ") + (data.unread.length ? ` · not shaped as the answer, so not read: ${data.unread.join(", ")}` : "");
  if (!look.clues.length) byId("key-given").remove();
  if (!data.answer || data.error !== null) byId("key-wrong").remove();
  if (!texts) byId("key-sure").textContent = "size of the colored square, here a tint: how sure of its token";
  if (!final.confidence.length) byId("key-sure").parentElement.remove();
  function where(frame) {
    if (!frame) return `Start, before the first of ${plural(total, "update")}`;
    const update = updates[frame - 1], before = update.segment > 1 ? ends[update.segment - 2] : 0;
    return `Segment ${update.segment} of ${segments}, cycle ${update.cycle}, update ${frame - before} of ${ends[update.segment - 1] - before}: ${update.level}`;
  }
  let pointed = null;
  function tell() {
    if (!pointed) return;
    const [target, at] = pointed, token = target.shown.tokens[at], sure = target.shown.confidence?.[at] ?? null;
    const place = line ? `Cell ${at + 1}` : `Row ${Math.floor(at / look.columns) + 1}, column ${(at % look.columns) + 1}`;
    const name = look.texts[token] || (clues.size || look.written ? "blank" : `token ${token}`);
    const right = data.answer && data.error === null && target.shown.wrong?.includes(at) ? `, right is ${look.texts[data.answer[at]] || "blank"}` : "";
    byId("cell").textContent = `${place} of ${target.title}: ${name}${sure === null ? "" : `, ${sure} % sure`}${right}`;
  }
  for (const target of [...Object.values(boards), ...given.map(([target]) => target)]) {
    target.grid.addEventListener("pointerover", (event) => {
      const cell = event.target.closest(".cell");
      if (cell) { pointed = [target, Number(cell.dataset.cell)]; tell(); }
    });
  }

  // Playing.
  const slider = byId("slider");
  slider.max = total;
  let frame = 0, timer = null;
  function show(next) {
    frame = Math.max(0, Math.min(total, next));
    const level = frame ? updates[frame - 1].level : null;
    for (const name of data.levels) {
      const reading = said[name][frame];
      fill(boards[name], reading, fresh(frame, name) ? reading.changed : []);
      boards[name].panel.classList.toggle("now", name === level);
    }
    slider.value = frame;
    slider.setAttribute("aria-valuetext", where(frame));
    byId("place").textContent = where(frame);
    for (const cursor of cursors) cursor.style.left = `${(100 * frame) / (total || 1)}%`;
    for (const tell of values) tell(frame);
    tell();
    document.body.dataset.frame = frame;
  }
  function pause() {
    clearTimeout(timer);
    timer = null;
    byId("play").textContent = "Play";
    byId("play").setAttribute("aria-label", "Play");
    byId("place").setAttribute("aria-live", "polite");
  }
  function step() {
    // Without motion a segment at a time, so that little changes per second.
    show(calm ? ends.find((end) => end > frame) : frame + 1);
    if (frame >= total) return pause();
    timer = setTimeout(step, Number(byId("speed").value) * (calm ? 3 : 1));
  }
  function play() {
    if (timer !== null) return pause();
    if (frame >= total) show(0);
    byId("play").textContent = "Pause";
    byId("play").setAttribute("aria-label", "Pause");
    byId("place").setAttribute("aria-live", "off");
    timer = setTimeout(step, 0);
  }
  const go = (next) => { pause(); show(next); };
  const later = () => ends.find((end) => end > frame) ?? total;
  const earlier = () => [0, ...ends].filter((end) => end < frame).at(-1) ?? 0;
  const keys = {
    ArrowRight: () => go(frame + 1), ArrowLeft: () => go(frame - 1), ArrowUp: () => go(later()), ArrowDown: () => go(earlier()),
    PageUp: () => go(later()), PageDown: () => go(earlier()), Home: () => go(0), End: () => go(total), " ": play,
  };
  document.addEventListener("keydown", (event) => {
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select")) return;
    if (event.key === " " && event.target.closest("button")) return; // presses that button
    event.preventDefault();
    act();
  });
  slider.addEventListener("input", () => go(Number(slider.value)));
  byId("play").addEventListener("click", play);
  byId("first").addEventListener("click", keys.Home);
  byId("last").addEventListener("click", keys.End);
  byId("back").addEventListener("click", keys.ArrowLeft);
  byId("on").addEventListener("click", keys.ArrowRight);
  const seek = (event) => {
    const box = bar.getBoundingClientRect();
    go(Math.round((total * (event.clientX - box.left)) / box.width));
  };
  tracks.addEventListener("pointerdown", (event) => { tracks.setPointerCapture(event.pointerId); seek(event); });
  tracks.addEventListener("pointermove", (event) => { if (event.buttons) seek(event); });
  show(0);
})();
