// The answer in words first, then on a scale, then as the request and the JSON that were sent and received.

import { make } from "./elements.js";

const logit = (p) => Math.log(p / (1 - p));
const toShare = (x) => 1 / (1 + Math.exp(-x));
// Where similarities of 0 and 1 are drawn.
const FARTHEST = 14;
const place = (similarity) => Math.max(-FARTHEST, Math.min(FARTHEST, logit(similarity)));
const both = new Intl.ListFormat("en");

/** A rate as people say it: "1 in 12". */
export function ratio(rate, rounded = Math.round) {
  if (rate >= 0.995) return "nearly all";
  if (rate > 0.1) return `${Math.round(rate * 100)} in 100`;
  const unit = 10 ** (Math.floor(-Math.log10(rate)) - 1);
  return `1 in ${Number((rounded(1 / rate / unit) * unit).toPrecision(2)).toLocaleString("en")}`;
}

/** A similarity with as many digits as tell it from 1, and from another. */
export function digits(similarity, other = similarity) {
  const beside = 1 - similarity;
  let places = beside >= 0.01 ? 2 : Math.min(7, 1 - Math.floor(Math.log10(beside || 1e-7)));
  while (other !== similarity && places < 7 && similarity.toFixed(places) === other.toFixed(places)) places += 1;
  return similarity.toFixed(places);
}

/** The decision in a few words. A pair that the loosest operating point accepts is not called different. */
export function verdict(decision, similarity, points) {
  if (decision === "same") return "Probably the same person";
  const near = points.length > 0 && similarity >= Math.min(...points.map((point) => point.threshold));
  return decision === "undecided" || near ? "Too close to say" : "Probably different people";
}

const tone = (words) => (words.includes("same") ? "same" : words.includes("different") ? "different" : "undecided");

function alike(answer) {
  const rate = answer.fmr_at_similarity;
  const shared = answer.conditions?.length ? ` in such pictures (${spoken(answer.conditions)})` : "";
  const bound = answer.fmr_is_upper_bound;
  if (rate !== null) return `${bound ? `at most ${ratio(rate, Math.floor)}` : ratio(rate)} pairs of strangers${shared} look this alike`;
  return `how many strangers look this alike${shared} was not measured`;
}

const SPOKEN = { not_photograph: "drawn", alike: "as of one camera and moment" };
const spoken = (conditions) => both.format(conditions.map((name) => SPOKEN[name] ?? name.replaceAll("_", " ")));

function reason(answer, point) {
  const rule = point ? `, which ${ratio(point.max_fmr)} pairs of strangers reach` : "";
  const measured = `The similarity is ${digits(answer.similarity, answer.threshold)}. “Same” needs ${
    digits(answer.threshold, answer.similarity)}${rule}.`;
  if (answer.decision !== "undecided") return measured;
  if (answer.conditions.includes("not_photograph")) {
    return `${measured} But a picture looks like a drawing, and what was measured holds for photographs. Try another photograph.`;
  }
  return `${measured} But the pictures of both sides are alike in other ways (${spoken(answer.conditions)}), and with these
    strangers look more alike. Try another photograph of one of them.`;
}

/** Fills the section with the answer of /verify or /compare. */
export function showAnswer(section, answer, info, commands) {
  const points = info.operating_points;
  const point = points.find((each) => each.name === answer.operating_point);
  const words = verdict(answer.decision, answer.similarity, points);
  const heading = make("h2", { tabIndex: -1, id: "verdict", className: tone(words) }, `${words}: ${alike(answer)}.`);
  section.replaceChildren(
    heading,
    make("p", {}, reason(answer, point)),
    ...scale(answer, points),
    make("p", { className: "caution" }, `Rates hold for ${info.rates_hold_for}. People who look alike, such as `,
      "relatives, are confused more often. Decide nothing about a person by this alone."),
    ...(answer.warnings ?? []).map((text) => make("p", { className: "caution" }, text)),
    fold("This request with curl", commands.join("\n\n")),
    fold("Its answer as JSON", JSON.stringify(answer, null, 2)),
  );
  section.hidden = false;
  heading.focus();
}

function fold(title, text) {
  const pre = make("pre", { tabIndex: 0, role: "region", "aria-label": title }, text);
  return make("details", {}, make("summary", {}, title), pre);
}

/** The scale of similarities, even in log odds, and a slider on it that moves the threshold. */
function scale(answer, points) {
  const here = place(answer.similarity);
  const places = [here, place(answer.threshold), ...points.map((point) => place(point.threshold))];
  const low = Math.min(-1, ...places) - 1;
  const high = Math.max(1, ...places) + 1;
  const at = (element, x) => {
    element.style.left = `${(100 * (x - low)) / (high - low)}%`;
    return element;
  };
  const marks = points.map((point) =>
    at(make("span", { className: "mark" }, ratio(point.max_fmr).replace("1 in ", "1:")), place(point.threshold)));
  const pair = at(make("span", { className: "pair" }, "this pair"), here);
  const bar = make("div", { className: "scale", "aria-hidden": "true" }, pair, make("span", { className: "line" }), ...marks);
  // Then the rates do not hold, whatever the threshold.
  const undecided = answer.decision === "undecided";
  const reached = undecided ? "too close to say" : "same";
  const slider = make("input", { type: "range", id: "threshold", min: low, max: high, step: "any" });
  slider.value = place(answer.threshold);
  const own = slider.value; // the browser may have rounded it
  const output = make("output", { htmlFor: "threshold" });
  slider.oninput = () => {
    const threshold = slider.value === own ? answer.threshold : toShare(slider.value);
    const text = `From ${digits(threshold, answer.similarity)} on: ${answer.similarity >= threshold ? reached : "different"}`;
    output.textContent = `${text}. ${undecided ? "" : between(threshold, points)}`;
    slider.setAttribute("aria-valuetext", text);
  };
  slider.oninput();
  const label = make("label", { htmlFor: "threshold" }, "If “same” needed another similarity:");
  return [bar, label, slider, output];
}

/** Which operating points are on either side of a threshold. */
function between(threshold, points) {
  const looser = points.filter((point) => point.threshold <= threshold).map((point) => point.max_fmr);
  const stricter = points.filter((point) => point.threshold > threshold).map((point) => point.max_fmr);
  const bounds = [
    looser.length ? `at most ${ratio(Math.min(...looser))}` : null,
    stricter.length ? `more than ${ratio(Math.max(...stricter))}` : null,
  ].filter(Boolean);
  return bounds.length ? `Of pairs of strangers ${bounds.join(" and ")} would be called the same.` : "";
}
