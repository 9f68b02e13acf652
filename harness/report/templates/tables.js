"use strict";
// Lets each table be sorted, copied as Markdown, and saved as CSV or JSON, in the order in which it stands. A cell that
// says a measured number carries it (data-value, data-low, data-high, data-unit), so that nothing is read out of text.
(() => {
  const NOT_KNOWN = "\u2013";
  const ENDS = ["value", "low", "high"];
  const order = new Intl.Collator("en", { numeric: true });

  // What is folded has no innerText, and no lines within a cell either.
  const textOf = (cell) => (cell.innerText || cell.textContent).replace(/\s*\n\s*/g, "; ").replace(/\s+/g, " ").trim();

  // The numbers of a cell: its own, or the one that all of its text is, such as a count; none: it is words.
  const numbersOf = (cell) => {
    const found = {};
    for (const end of ENDS) if (cell.dataset[end] !== undefined) found[end] = Number(cell.dataset[end]);
    if (!Object.keys(found).length && cell.classList.contains("number")) {
      const plain = cell.textContent.trim().replace(/,/g, "");
      if (/^\d+(\.\d+)?$/.test(plain)) found.value = Number(plain);
    }
    return found;
  };

  const headingsOf = (table) => [...table.tHead.rows[0].cells];
  const nameOf = (heading) => heading.dataset.name ?? textOf(heading);
  const linesOf = (table) => [...table.tBodies[0].rows];

  // What a table holds. columns: name, the numbers that any of its cells has ("value", "low", "high"), and their unit.
  const read = (table) => {
    const rows = linesOf(table).map((line) =>
      [...line.cells].filter((cell) => !cell.hidden).flatMap((cell) => [
        { text: textOf(cell), numbers: numbersOf(cell), unit: cell.dataset.unit },
        ...Array.from({ length: cell.colSpan - 1 }, () => ({ text: "", numbers: {} })),
      ]));
    const columns = headingsOf(table).map((heading, place) => {
      const cells = rows.map((row) => row[place]);
      return {
        name: nameOf(heading),
        isNumeric: heading.classList.contains("number"),
        ends: ENDS.filter((end) => cells.some((cell) => end in cell.numbers)),
        unit: cells.find((cell) => cell.unit)?.unit ?? "",
      };
    });
    return { caption: textOf(table.caption), columns, rows };
  };

  const asMarkdown = ({ caption, columns, rows }) => {
    const line = (texts) => `| ${texts.map((text) => text.replace(/[\\`*_{}[\]<>|~#!&$]/g, "\\$&")).join(" | ")} |`;
    const rule = `| ${columns.map((column) => (column.isNumeric ? "---:" : "---")).join(" | ")} |`;
    const names = line(columns.map((column) => column.name));
    return [`**${caption}**`, "", names, rule, ...rows.map((row) => line(row.map((cell) => cell.text))), ""].join("\n");
  };

  // RFC 4180. A number in a column of its own; a column's text stays where a cell of it has no number and says why.
  const asCsv = ({ columns, rows }) => {
    const quoted = (field) => (/[",\r\n]/.test(field) ? `"${field.replace(/"/g, '""')}"` : `${field}`);
    const saysWhy = (cell) => !Object.keys(cell.numbers).length && cell.text && cell.text !== NOT_KNOWN;
    const fields = columns.flatMap(({ name, ends, unit }, place) => {
      const named = unit ? `${name} (${unit})` : name;
      if (!ends.length) return [{ name, of: (row) => row[place].text }];
      const numbers = ends.map((end) => ({
        name: end === "value" ? named : `${named}, ${end}`,
        of: (row) => `${row[place].numbers[end] ?? ""}`,
      }));
      const why = { name: `${name}, in words`, of: (row) => (saysWhy(row[place]) ? row[place].text : "") };
      return rows.some((row) => saysWhy(row[place])) ? [...numbers, why] : numbers;
    });
    const lines = [fields.map((field) => field.name), ...rows.map((row) => fields.map((field) => field.of(row)))];
    return lines.map((line) => `${line.map(quoted).join(",")}\r\n`).join("");
  };

  const asJson = ({ caption, columns, rows }) => {
    const value = ({ text, numbers }, { ends }) => {
      if (!ends.length) return text;
      if (!Object.keys(numbers).length) return text && text !== NOT_KNOWN ? text : null;
      return ends.length === 1 && ends[0] === "value" ? numbers.value : numbers;
    };
    const told = {
      page: document.title,
      table: caption,
      units: Object.fromEntries(columns.filter((column) => column.unit).map(({ name, unit }) => [name, unit])),
      rows: rows.map((row) => Object.fromEntries(columns.map((column, place) => [column.name, value(row[place], column)]))),
    };
    return `${JSON.stringify(told, null, 1)}\n`;
  };

  const save = (name, type, text) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  };

  // A page from a disk may lack the clipboard's interface, or the permission: then by the selection, as ever.
  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const area = Object.assign(document.createElement("textarea"), { value: text, readOnly: true });
      const focused = document.activeElement;
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      focused?.focus();
      return done;
    }
  };

  const button = (text, label, act) => {
    const made = Object.assign(document.createElement("button"), { type: "button", textContent: text });
    made.setAttribute("aria-label", `${text}: ${label}`);
    made.addEventListener("click", act);
    return made;
  };

  const tools = (table, name, title) => {
    const label = textOf(table.caption);
    const said = document.createElement("output");
    const tell = (text, isWell) => {
      said.textContent = text;
      said.className = isWell ? "" : "failed";
      setTimeout(() => { if (said.textContent === text) said.textContent = ""; }, 4_000);
    };
    const group = document.createElement("span");
    group.append(
      ...(title ? [title] : []),
      button("Copy as Markdown", label, async () => {
        const done = await copy(asMarkdown(read(table)));
        tell(done ? "copied" : "the browser does not let the page copy: save it as CSV", done);
      }),
      button("CSV", label, () => save(`${name}.csv`, "text/csv;charset=utf-8", asCsv(read(table)))),
      button("JSON", label, () => save(`${name}.json`, "application/json", asJson(read(table)))),
      said,
    );
    return group;
  };

  // Rows by a column: first upwards, then downwards; what has no number stays at the end, and equals keep their order.
  const sort = (table, heading) => {
    const place = heading.cellIndex;
    const down = heading.getAttribute("aria-sort") === "ascending";
    const keyOf = (cell) => {
      const { value, low, high } = numbersOf(cell);
      const number = value ?? (low !== undefined ? (low + high) / 2 : undefined);
      const text = cell.textContent.trim();
      return number ?? (heading.classList.contains("number") || text === NOT_KNOWN ? undefined : text);
    };
    const compare = (one, other) => {
      if (one === undefined || other === undefined) return (one === undefined) - (other === undefined);
      const found = typeof one === "number" && typeof other === "number" ? one - other : order.compare(one, other);
      return down ? -found : found;
    };
    const lines = linesOf(table).map((line) => [keyOf(line.cells[place]), line]);
    lines.sort(([one], [other]) => compare(one, other));
    table.tBodies[0].append(...lines.map(([, line]) => line));
    for (const each of headingsOf(table)) each.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  };

  const makeSortable = (table) => {
    for (const heading of headingsOf(table)) {
      const made = Object.assign(document.createElement("button"), { type: "button" });
      made.append(...heading.childNodes);
      made.addEventListener("click", () => sort(table, heading));
      heading.append(made);
    }
  };

  const equip = (table) => {
    if (!table.dataset.order && linesOf(table).length > 1) makeSortable(table);
    const around = table.closest(".scroll");
    const place = document.createElement("div");
    place.className = "take-along";
    place.append(tools(table, table.dataset.name ?? around.id, ""));
    around.after(place);
  };
  for (const table of document.querySelectorAll("table.data")) equip(table);
  addEventListener("unpacked", (event) => event.target.querySelectorAll("table.data").forEach(equip)); // by packing.js
  for (const place of document.querySelectorAll(".take-along[data-tables]")) {
    const titles = { decision: "This table:", costs: "The costs:" };
    for (const name of place.dataset.tables.split(" ")) {
      const table = document.querySelector(`table[data-name="${name}"]`);
      if (table) place.append(tools(table, name, titles[name]));
    }
  }
})();
