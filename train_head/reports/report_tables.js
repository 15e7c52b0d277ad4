// Tables that can be sorted.

function sortBy(table, column, header) {
  // At the first click, names go from a to z and numbers from the highest down.
  const before = header.getAttribute("aria-sort");
  const ascending = before === "descending" || (column === 0 && before === "none");
  for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const order = new Intl.Collator(undefined, { numeric: true });
  const compare = column === 0 ? (a, b) => order.compare(value(a), value(b)) : (a, b) => value(a) - value(b);
  const rows = [...table.tBodies[0].rows].sort(compare);
  table.tBodies[0].append(...(ascending ? rows : rows.reverse()));
}

for (const table of document.querySelectorAll(".sortable")) {
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    header.querySelector("button").addEventListener("click", () => sortBy(table, column, header));
  });
}
