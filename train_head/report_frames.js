// What is drawn on the report of a run with a label for every frame.
// It goes on where report_tables.js ends.

drawCurve("top1-curve", { name: "top1", isShare: true, yText: percent });
drawCurve("loss-curve", { name: "loss", isShare: false, yText: (x) => String(Number(x.toPrecision(2))) });
