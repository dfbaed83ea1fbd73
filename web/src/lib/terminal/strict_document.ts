// The document xterm.js builds its elements with. It writes <style> elements and style attributes, which a content
// security policy without 'unsafe-inline' refuses; the same rules given through the CSSOM are allowed. So its style
// elements hand their text to a constructed sheet, and its style attributes become `style.cssText`.

export function strictDocument(): Document {
  return new Proxy(document, {
    get(target, property) {
      if (property === 'createElement') return createElement;
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
    set: (target, property, value) => Reflect.set(target, property, value, target),
  });
}

/** Runs `build` with the page's own document strict too: a part of xterm.js does not ask the one it was given. */
export function strictly(build: () => void): void {
  const lax = document.createElement;
  document.createElement = ((name: string, options?: ElementCreationOptions) =>
    name === 'style' ? sheetElement() : lax.call(document, name, options)) as typeof document.createElement;
  try {
    build();
  } finally {
    Reflect.deleteProperty(document, 'createElement');
  }
}

function createElement(name: string): HTMLElement {
  if (name.toLowerCase() === 'style') return sheetElement();
  const element = document.createElement(name);
  const setAttribute = element.setAttribute.bind(element);
  element.setAttribute = (attribute, value) => {
    if (attribute === 'style') element.style.cssText = value;
    else setAttribute(attribute, value);
  };
  return element;
}

/** Stands where a <style> would: its text is a sheet of the document for as long as it is not removed. */
function sheetElement(): HTMLElement {
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  const element = document.createElement('span');
  element.hidden = true;
  Object.defineProperty(element, 'textContent', {
    get: () => '',
    set: (text: string) => sheet.replaceSync(text),
  });
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((other) => other !== sheet);
    Element.prototype.remove.call(element);
  };
  return element;
}
