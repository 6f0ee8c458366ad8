// A drawing that is dragged, zoomed by wheel, fingers or keys, and fits its frame.

export class PanZoom {
  // stage: the element whose first child is the drawing, an SVG.
  constructor(stage) {
    this.stage = stage;
    this.size = { width: 1, height: 1 };
    this.view = { x: 0, y: 0, width: 1, height: 1 };
    // Whether a press drags the drawing; tools that draw take it themselves.
    this.isDragged = () => true;
    const fingers = new Map();
    stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(Math.max(-0.5, Math.min(0.5, event.deltaY / 300))), event.clientX, event.clientY);
    }, { passive: false });
    // One finger or the mouse moves, two fingers zoom.
    stage.addEventListener("pointerdown", (event) => {
      if (!this.isDragged(event)) return;
      fingers.set(event.pointerId, event);
      stage.setPointerCapture(event.pointerId);
    });
    stage.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      if (fingers.size === 1) {
        const [from, to] = [this.placeOf(before.clientX, before.clientY), this.placeOf(event.clientX, event.clientY)];
        this.view = { ...this.view, x: this.view.x + from.x - to.x, y: this.view.y + from.y - to.y };
        this.draw();
      } else {
        const other = [...fingers.values()].find((finger) => finger.pointerId !== event.pointerId);
        const distance = (finger) => Math.hypot(finger.clientX - other.clientX, finger.clientY - other.clientY);
        this.zoom(Math.max(distance(before), 1) / Math.max(distance(event), 1), other.clientX, other.clientY);
      }
      fingers.set(event.pointerId, event);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      stage.addEventListener(end, (event) => fingers.delete(event.pointerId));
    }
  }

  draw() {
    const { x, y, width, height } = this.view;
    this.stage.firstChild.setAttribute("viewBox", `${x} ${y} ${width} ${height}`);
  }

  fit() {
    this.view = { x: 0, y: 0, ...this.size };
    this.draw();
  }

  // Shows a box with a diameter of it on each side, and no more outside of the drawing than needed.
  focus({ x, y, width, height }) {
    const { clientWidth, clientHeight } = this.stage;
    const side = Math.max(width, height) * 3;
    const unit = side / Math.max(1, Math.min(clientWidth, clientHeight));
    const view = { width: unit * clientWidth, height: unit * clientHeight };
    const within = (middle, shown, all) =>
      shown > all ? (all - shown) / 2 : Math.min(Math.max(middle - shown / 2, 0), all - shown);
    view.x = within(x + width / 2, view.width, this.size.width);
    view.y = within(y + height / 2, view.height, this.size.height);
    this.view = view;
    this.draw();
  }

  placeOf(clientX, clientY) {
    return new DOMPoint(clientX, clientY).matrixTransform(this.stage.firstChild.getScreenCTM().inverse());
  }

  zoom(factor, clientX, clientY) {
    const box = this.stage.getBoundingClientRect();
    const at = this.placeOf(clientX ?? box.x + box.width / 2, clientY ?? box.y + box.height / 2);
    const { x, y, width, height } = this.view;
    const bounded = Math.min(Math.max(width * factor, this.size.width / 60), this.size.width * 1.5) / width;
    this.view = {
      x: at.x - (at.x - x) * bounded, y: at.y - (at.y - y) * bounded,
      width: width * bounded, height: height * bounded,
    };
    this.draw();
  }
}
