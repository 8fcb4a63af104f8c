/** Observable Plot in Node: the document that it draws into, and its drawing as text. */
import { Window } from "happy-dom";

// One window serves the life of the process: it holds no timers, and nothing drawn is ever attached to it.
let window: Window | undefined;

/** What Plot's option `document` takes. */
export function plotDocument(): Document {
  window ??= new Window();
  return window.document as unknown as Document;
}

/** What Plot drew as an `<svg>` element, well-formed XML, the same for the same drawing, named for those who cannot see it. */
export function finishSvg(
  svg: SVGSVGElement,
  { id, title, description }: { readonly id: string; readonly title: string; readonly description: string },
): string {
  svg.querySelector("style")?.remove(); // the page's own style sheet says it once
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-labelledby", `${id}-title ${id}-description`);
  svg.prepend(textElement("title", title), textElement("desc", description));
  // Plot numbers its clipping paths through the life of the process.
  return new window!.XMLSerializer().serializeToString(svg as never).replace(/plot-clip-\d+/g, `${id}-clip`);

  function textElement(name: "title" | "desc", text: string): Element {
    const element = plotDocument().createElementNS("http://www.w3.org/2000/svg", name);
    element.id = `${id}-${name === "title" ? "title" : "description"}`;
    element.textContent = text;
    return element;
  }
}
