"use strict";

// Tables: a click on a heading sorts by its column, another click the other way round.

function compareCells(one, other) {
  const [a, b] = [one, other].map(cell => cell.dataset.value);
  if (a !== undefined && b !== undefined && Number(a) !== Number(b)) return Number(a) - Number(b);
  if ((a === undefined) !== (b === undefined)) return a === undefined ? 1 : -1;
  return one.textContent.trim().localeCompare(other.textContent.trim());
}

function sortBy(heading) {
  const table = heading.closest("table"), body = table.tBodies[0];
  const ascending = heading.getAttribute("aria-sort") !== "ascending";
  const rows = Array.from(body.rows);
  rows.sort((one, other) => (ascending ? 1 : -1) *
    compareCells(one.cells[heading.cellIndex], other.cells[heading.cellIndex]));
  for (const each of heading.parentNode.cells) each.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  body.append(...rows);
}

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => sortBy(button.parentNode));
}

// Links to an appendix unfold it.

function unfold() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
}
window.addEventListener("hashchange", unfold);
unfold();

// The viewer.

const classifiers = JSON.parse(document.getElementById("classifiers").textContent);
const byId = name => document.getElementById(name);

function fill(select, texts) {
  const before = select.value;
  select.replaceChildren(...texts.map((text, place) => new Option(text, String(place))));
  if (Number(before) < texts.length) select.value = before || "0";
}

function pixelsOf(uri) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
      const context = canvas.getContext("2d");
      context.drawImage(image, 0, 0);
      resolve(context.getImageData(0, 0, canvas.width, canvas.height));
    };
    image.onerror = reject;
    image.src = uri;
  });
}

function draw(canvas, width, height, value) {
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d"), picture = context.createImageData(width, height);
  for (let i = 0; i < picture.data.length; i++) {  // clamps to 0..255 and rounds
    picture.data[i] = i % 4 === 3 ? 255 : value(i);
  }
  context.putImageData(picture, 0, 0);
}

const percent = share => (100 * share).toFixed(1) + " %";

async function show() {
  const classifier = classifiers[byId("classifier").value];
  const uap = chosenUaps(classifier)[byId("attack").value];
  const place = byId("image").value, image = classifier.images[place];
  const prediction = uap.predictions[place];
  const [clean, signed] = await Promise.all([image.picture, uap.picture].map(pixelsOf));
  const half = signed.data.length / 2;  // what it adds, above what it takes away
  const change = i => signed.data[i] - signed.data[half + i];
  const factor = uap.largest > 0 ? 127.5 / uap.largest : 1;
  const {width, height} = clean;
  draw(byId("clean"), width, height, i => clean.data[i]);
  draw(byId("uap"), width, height, i => 127.5 + factor * change(i));
  draw(byId("attacked"), width, height, i => clean.data[i] + change(i));
  byId("clean-text").textContent =
    `clean: ${image.clean}, ${percent(image.confidence)}; true class ${image.label} (${image.file})`;
  byId("uap-text").textContent = `UAP × ${factor.toFixed(1)}: ${uap.run}, largest change ` +
    `${uap.largest.toFixed(1)} of 255 grey levels`;
  byId("attacked-text").textContent = `attacked: ${prediction.attacked}, ` +
    `${percent(prediction.confidence)}; as an image file: ${prediction.as_file}`;
  document.getElementById("viewer").dataset.shown = [uap.run, image.file].join(" ");
}

function chosenUaps(classifier) {
  const source = sourcesOf(classifier)[byId("source").value];
  return classifier.uaps.filter(uap => uap.source === source);
}

const sourcesOf = classifier => Array.from(new Set(classifier.uaps.map(uap => uap.source)));

function attackTitle(uap, uaps) {
  const alike = uaps.filter(each => each.attack === uap.attack);
  return alike.length === 1 ? uap.attack : `${uap.attack}: ${uap.run}`;
}

function choose() {
  const classifier = classifiers[byId("classifier").value];
  fill(byId("source"), sourcesOf(classifier));
  const uaps = chosenUaps(classifier);
  fill(byId("attack"), uaps.map(uap => attackTitle(uap, uaps)));
  fill(byId("image"), classifier.images.map(
    (image, place) => `${place + 1}: ${image.label}`));
  return show();
}

if (classifiers.length) {
  fill(byId("classifier"), classifiers.map(classifier => classifier.name));
  for (const name of ["classifier", "source", "attack", "image"]) {
    byId(name).addEventListener("change", choose);
  }
  choose();
}
