/** HTML as values: what is interpolated into {@link html} is escaped unless it is HTML itself. */

export class Html {
  readonly markup: string;

  constructor(markup: string) {
    this.markup = markup;
  }

  toString(): string {
    return this.markup;
  }
}

export type HtmlContent = Html | string | number | undefined | readonly HtmlContent[];

/** `` html`<p>${text}</p>` ``: text and numbers are escaped, HTML and lists are inserted, `undefined` leaves nothing. */
export function html(strings: TemplateStringsArray, ...values: HtmlContent[]): Html {
  return new Html(String.raw({ raw: strings }, ...values.map(toMarkup)));
}

/** Safe in text and in quoted attributes, of HTML and of SVG. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

function toMarkup(value: HtmlContent): string {
  if (value === undefined) return "";
  if (value instanceof Html) return value.markup;
  if (Array.isArray(value)) return value.map(toMarkup).join("");
  return escapeHtml(String(value));
}
