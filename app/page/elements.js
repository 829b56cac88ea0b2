// Small helpers for the elements of the page. Text is only ever set as text, never as markup.

export const find = (selector, within = document) => within.querySelector(selector);

/** An element with properties and children; a property whose name has a dash becomes an attribute. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A list of sentences, or null if there are none. */
export function list(sentences, className) {
  return sentences.length ? make("ul", { className }, ...sentences.map((text) => make("li", {}, text))) : null;
}

/** A PNG that the service gave in base64. */
export const picture = (data, alt) => make("img", { src: `data:image/png;base64,${data}`, alt });
