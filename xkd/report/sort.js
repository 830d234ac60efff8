"use strict";
// A click on a column's head sorts the rows by its numbers, once more turns the order round; a cell that is no number comes last.
// Where there is no room for heads a choice of columns stands above the rows and does the same.
const number = (text) => /^[-+]?[\d.]+(e[-+]?\d+)?( \S+)?$/.test(text) ? parseFloat(text) : NaN; // "58 s" is one, "2 of 3" is none
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.querySelectorAll("th")];
  const given = [...body.rows];
  const choice = table.parentElement.previousElementSibling.querySelector("select");
  const sort = (head, down) => {
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    choice.value = `${head.cellIndex} ${down ? "down" : "up"}`;
    const value = (row) => (row.cells[head.cellIndex].dataset.value ?? "").replace("\u2212", "-");
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const difference = isNaN(number(x)) || isNaN(number(y)) ? x.localeCompare(y) : number(x) - number(y);
      return down ? -difference : difference;
    };
    body.append(...[...body.rows].sort(compare));
  };
  for (const head of heads) head.querySelector("button").addEventListener("click", () => sort(head, head.getAttribute("aria-sort") !== "descending"));
  choice.addEventListener("change", () => {
    const [column, order] = choice.value.split(" ");
    if (order) return sort(heads[column], order === "down");
    for (const head of heads) head.removeAttribute("aria-sort");
    body.append(...given);
  });
}
