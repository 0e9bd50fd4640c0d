// What a person would see of the page: asked by the checks, never part of it.
({
  // Elements that stick out to the right or left of the window, unless they are scrolled by what holds them.
  outside() {
    const scrolled = element => {
      for (let box = element.parentElement; box; box = box.parentElement)
        if (["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(box).overflowX) && box !== document.body) return true;
      return false;
    };
    const width = document.documentElement.clientWidth;
    return [...document.body.querySelectorAll("*")]
      .filter(element => {
        const box = element.getBoundingClientRect();
        return box.width && (box.right > width + 0.5 || box.left < -0.5) && !scrolled(element);
      })
      .map(element => element.outerHTML.slice(0, 120));
  },

  // Texts whose contrast with what is behind them is less than this; `marks`: of what styles draw before elements.
  faint(least, marks = false) {
    const parsed = colour => {
      const parts = colour.match(/[\d.]+/g).map(Number);
      return { rgb: parts.slice(0, 3), alpha: parts.length > 3 ? parts[3] : 1 };
    };
    const behind = element => {
      const layers = [];
      for (let box = element; box; box = box.parentElement) {
        const found = parsed(getComputedStyle(box).backgroundColor);
        layers.push(found);
        if (found.alpha === 1) break;
      }
      return layers.reverse().reduce((under, { rgb, alpha }) => under.map((value, at) => value * (1 - alpha) + rgb[at] * alpha), [255, 255, 255]);
    };
    const light = rgb => {
      const [r, g, b] = rgb.map(value => value / 255).map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const contrast = (one, other) => {
      const [dark, bright] = [light(one), light(other)].sort((a, b) => a - b);
      return (bright + 0.05) / (dark + 0.05);
    };
    const own = element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    const seen = [...document.body.querySelectorAll("*")].filter(element =>
      element.checkVisibility() && !["TITLE", "DESC"].includes(element.tagName.toUpperCase()) && !element.closest(".unseen"));
    return seen.filter(element => marks ? element.tagName === "I" : own(element)).flatMap(element => {
      const style = getComputedStyle(element, marks ? "::before" : null);
      const colour = element instanceof SVGElement ? style.fill : style.color;
      const found = contrast(parsed(colour).rgb, behind(element));
      return found < least ? [`${found.toFixed(2)} ${colour} ${element.outerHTML.slice(0, 100)}`] : [];
    });
  },

  // How an element is set: what must differ between what is trained and what is not.
  style(element) {
    const { backgroundColor, textDecorationLine, fontWeight } = getComputedStyle(element);
    return { backgroundColor, textDecorationLine, fontWeight };
  },

  // Every event that a handler in an attribute could wait for.
  provoke() {
    for (const element of document.querySelectorAll("*"))
      for (const name of ["click", "mouseover", "mouseenter", "focus", "load", "error", "toggle", "animationstart"])
        element.dispatchEvent(new Event(name, { bubbles: false }));
    for (const element of document.querySelectorAll("details")) element.open = true;
  },

  // Lines, points and bars whose contrast with the sheet is less than this; what is drawn behind them may be faint.
  faintLines(least) {
    const parts = colour => colour.match(/[\d.]+/g).map(Number);
    const light = rgb => {
      const [r, g, b] = rgb.slice(0, 3).map(value => value / 255).map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const sheet = light(parts(getComputedStyle(document.querySelector("section:not(.banner)")).backgroundColor));
    const colours = [...document.querySelectorAll(".line:not(.raw, .loose), .dot, .mark, .bar")].map(element => {
      const style = getComputedStyle(element);
      return element.classList.contains("bar") ? style.backgroundColor : element.classList.contains("dot") ? style.fill : style.stroke;
    });
    return [...new Set(colours)].filter(colour => {
      const [dark, bright] = [sheet, light(parts(colour))].sort((a, b) => a - b);
      return (bright + 0.05) / (dark + 0.05) < least;
    });
  },

  // Where a curve's points, lines and marks stand, in pixels, and what its stretches say.
  curve(key) {
    const picture = document.querySelector(`svg[aria-labelledby~=of-${key}]`);
    const box = element => { const { left, right, top, bottom } = element.getBoundingClientRect(); return { left, right, top, bottom }; };
    return {
      frame: box(picture),
      dots: [...picture.querySelectorAll(".dot")].map(dot => { const found = box(dot); return { x: (found.left + found.right) / 2, y: (found.top + found.bottom) / 2 }; }),
      paths: [...picture.querySelectorAll("path")].map(box),
      slices: [...picture.querySelectorAll(".slice title")].map(title => title.textContent),
      marks: [...picture.querySelectorAll(".mark")].map(mark => ({ words: mark.querySelector("title").textContent, kind: mark.classList[1] })),
    };
  },

  // Where bars, figures and the cut stand in a picture of lengths, in pixels.
  lengths(part) {
    const picture = document.querySelector(`svg[aria-labelledby~=lengths-${part}]`);
    const box = element => { const { left, right, top, bottom } = element.getBoundingClientRect(); return { left, right, top, bottom }; };
    const cut = picture.querySelector(".cut");
    return {
      frame: box(picture),
      cut: cut && box(cut),
      limit: picture.querySelector(".limit").textContent,
      bars: [...picture.querySelectorAll(".column")].map(bar => ({
        ...box(bar), words: bar.querySelector("title").textContent, over: bar.classList.contains("over"), fill: getComputedStyle(bar).fill,
      })),
      ticks: [...picture.querySelectorAll(".across text")].map(text => ({ ...box(text), length: Number(text.textContent.replaceAll(",", "")) })),
    };
  },
})
