// Elements. What comes from outside goes into them as text, never as markup.

export const $ = id => document.getElementById(id);

/** An element of this class and with these children: elements, or text. */
export function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children.filter(child => child !== undefined && child !== null));
  return made;
}

/** An element of SVG with these attributes. */
export function drawn(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Writes a text only where it changes: what is read aloud when it changes is not read again. */
export function say(where, text) {
  if (where.textContent !== text) where.textContent = text;
}

/** Text that a button copies. Without a clipboard (a page over plain HTTP has none) it is selected instead. */
export async function copy(text, button, shown) {
  const label = button.dataset.label ??= button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    if (shown) getSelection().selectAllChildren(shown);
    button.textContent = shown ? "Selected: copy it" : "No clipboard here";
  }
  setTimeout(() => button.textContent = label, 1600);
}
