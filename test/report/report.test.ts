import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { Window } from "happy-dom";
import { renderReport } from "../../src/report/index.ts";
import type { ReportContext, RunRecord } from "../../src/training/run-folder.ts";
import { context, run, three } from "./runs.ts";

const window = new Window();

function render(runs: RunRecord[], changes: Partial<ReportContext> = {}) {
  const html = renderReport({ ...context, ...changes }, runs);
  return { html, page: new window.DOMParser().parseFromString(html, "text/html") };
}
type Page = ReturnType<typeof render>["page"];

const texts = (page: Page, selector: string) => [...page.querySelectorAll(selector)].map(textOf);
const textOf = (element: { textContent: string | null } | null) =>
  (element?.textContent ?? "").replace(/\s+/g, " ").trim();

/** The rows of the first table, cell by cell. */
function results(page: Page): string[][] {
  const table = page.querySelector("table")!;
  return [...table.querySelectorAll("tr")].map((row) => [...row.children].map(textOf));
}

describe("the report of a comparison", () => {
  const { html, page } = render(three);

  it("says who won, by how much and how soon", () => {
    assert.equal(
      textOf(page.querySelector(".headline")),
      "tengrad ends with the lowest validation loss, 5.0 times lower than adam (0.02200 against 0.1100). " +
        "It was below the final loss of adam after 4.00 s of training; adam took 4.50 s.",
    );
  });

  it("lists the final numbers, best run first", () => {
    const [headings, ...rows] = results(page);
    const expected = ["run", "validation loss", "training loss", "rmse", "epochs", "training time"];
    assert.deepEqual(headings, [
      ...expected,
      "time to adam's final validation loss",
      "rejected steps",
      "options",
      "status",
    ]);
    const best = (text: string) => `${text} (best)`;
    const rest = ["0", "learningRate 0.1", "finished"];
    assert.deepEqual(rows, [
      ["tengrad", best("0.02200"), best("0.02000"), best("0.2098"), "3", "6.00 s", best("4.00 s"), ...rest],
      ["adam", "0.1100", "0.1000", "0.4690", "3", "4.50 s", "4.50 s", ...rest],
      ["sgd", "0.3300", "0.3000", "0.8124", "3", "3.00 s", "–", ...rest],
    ]);
    assert.deepEqual(texts(page, "tr.winner th"), ["tengrad"]);
  });

  it("draws loss and metric against epochs and seconds, for wide and narrow pages", () => {
    const titles = [
      "Loss against epochs",
      "Loss against seconds",
      "RMSE against epochs",
      "RMSE against seconds",
    ];
    assert.deepEqual(texts(page, "figure h3"), titles);
    for (const figure of page.querySelectorAll("figure")) {
      const charts = [...figure.querySelectorAll("svg")];
      assert.deepEqual(
        charts.map((svg) => svg.getAttribute("viewBox")),
        ["0 0 560 360", "0 0 350 300"],
      );
      for (const svg of charts) {
        const lines = [...svg.querySelectorAll("[aria-label=line]")];
        const dashed = lines.filter((line) => line.innerHTML.includes("stroke-dasharray"));
        const loss = textOf(figure.querySelector("h3")).startsWith("Loss");
        assert.deepEqual([lines.length - dashed.length, dashed.length], loss ? [3, 3] : [3, 0]);
        for (const name of ["sgd", "adam", "tengrad"]) assert.ok(svg.textContent!.includes(name));
        const [x, end] = textOf(figure.querySelector("h3")).endsWith("epochs")
          ? ["epoch", "3"]
          : ["seconds of training", "6.000"];
        const hover = `tengrad: ${loss ? "0.02000" : "0.2098"} (${x} ${end})`;
        assert.ok(
          [...svg.querySelectorAll("title")].some((title) => title.textContent === hover),
          hover,
        );
        assert.doesNotMatch(svg.outerHTML, /NaN|undefined|Infinity/);
      }
    }
  });

  it("describes every chart in words, with identifiers of its own", () => {
    for (const svg of page.querySelectorAll("svg")) {
      assert.equal(svg.getAttribute("role"), "img");
      const [title, description] = svg
        .getAttribute("aria-labelledby")!
        .split(" ")
        .map((id) => page.getElementById(id)!);
      assert.ok(svg.contains(title) && svg.contains(description));
      assert.match(textOf(description), /^Final .*tengrad: 0\.\d+ after 6\.00 s; adam: .*; sgd: .*\.$/);
    }
    const ids = [...page.querySelectorAll("[id]")].map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length);
    for (const [, id] of html.matchAll(/url\(#([^)]+)\)/g)) assert.ok(ids.includes(id), id);
  });

  it("carries the curvature, the data, the environment and the command", () => {
    assert.deepEqual(texts(page, "h2"), ["Results", "Curvature", "Data", "Environment", "Do it again"]);
    const rows = [...page.querySelectorAll("table")[1].querySelectorAll("tr")].map((row) =>
      [...row.children].map(textOf),
    );
    assert.deepEqual(rows, [
      ["parameters", "structure", "solver", "dimension", "memory", "note"],
      ["tengrad 128.2 KiB in all"],
      ["0.weight 0.bias", "tengrad", "gram", "1,280", "128.0 KiB", ""],
      ["2.weight", "tengrad", "dense", "5", "200 B", "small"],
    ]);
    assert.match(textOf(page.body), /Without curvature: adam, sgd\./);
    assert.match(
      textOf(page.body),
      /weather: 96,453 rows, 8 features, regression\. Loud Cover: constant, dropped/,
    );
    assert.match(textOf(page.body), /Node 20 ONNX Runtime 1\.30/);
    assert.equal(page.querySelector("pre code")!.textContent, context.command);
    assert.match(textOf(page.querySelector("footer")), /2026-03-01 14:05 UTC/);
  });

  it("needs nothing else: no script, no address to fetch", () => {
    assert.equal(page.querySelectorAll("script, link, img, iframe, object, [src], [href]").length, 0);
    assert.doesNotMatch(html.replaceAll("http://www.w3.org/2000/svg", ""), /https?:|@import|url\((?!#)/);
    assert.doesNotMatch(html, / on\w+=/);
  });

  it("gives every table headings with a scope, and both color schemes", () => {
    for (const heading of page.querySelectorAll("th"))
      assert.match(heading.getAttribute("scope") ?? "", /^(col|row|rowgroup)$/);
    assert.match(html, /prefers-color-scheme: dark/);
    assert.match(html, /@media print/);
  });

  it("is the same bytes for the same runs", () => {
    assert.equal(renderReport(context, structuredClone(three)), html);
  });
});

describe("the report of one run", () => {
  it("tells its course", () => {
    const { page } = render([run("tengrad", [0.5, 0.1, 0.02], 2)]);
    const sentence =
      "tengrad brought the validation loss from 0.5500 after epoch 1 to 0.02200, in 3 epochs and 6.00 s of training.";
    assert.equal(textOf(page.querySelector(".headline")), sentence);
    assert.equal(page.querySelectorAll(".best, .winner").length, 0);
  });

  it("takes a single epoch", () => {
    const { page } = render([run("adam", [0.5], 1.5)]);
    assert.equal(
      textOf(page.querySelector(".headline")),
      "adam: validation loss 0.5500 after 1 epoch and 1.50 s of training.",
    );
    assert.doesNotMatch(page.querySelector("svg")!.outerHTML, /NaN|Infinity/);
  });

  it("does without a validation split", () => {
    const plain = run("sgd", [0.5, 0.25]);
    for (const record of plain.epochs) {
      delete record.validationLoss;
      delete record.metric;
    }
    const { page } = render([plain]);
    assert.deepEqual(texts(page, "figure h3"), ["Loss against epochs", "Loss against seconds"]);
    assert.deepEqual(results(page)[0].slice(1, 3), ["training loss", "epochs"]);
    assert.match(
      textOf(page.querySelector(".headline")),
      /the training loss from 0\.5000 after epoch 1 to 0\.2500/,
    );
  });

  it("shows the damping where it adapts, and the notices, the first dozen of them", () => {
    const adaptive = run("exactNgd", [0.5, 0.2, 0.1]);
    for (const record of adaptive.epochs) {
      record.damping = 0.1 ** record.epoch;
      record.notices = Array.from({ length: 5 }, (_, index) => `step ${index} rejected`);
    }
    const { page } = render([adaptive]);
    assert.equal(texts(page, "figure h3").at(-1), "Damping against epochs");
    const shown = texts(page, "section li").filter(
      (text) => text.includes("rejected") || text.includes("more"),
    );
    assert.equal(shown.length, 13);
    assert.deepEqual([shown[0], shown[12]], ["epoch 1: step 0 rejected", "and 3 more, in metrics.jsonl"]);
  });
});

describe("runs that went wrong", () => {
  it("come last, say so and stretch no axis", () => {
    const lost = run("sgd", [0.5, 0.6, 1e30, Number.NaN], 1, {
      status: "diverged: the loss is NaN at step 31",
    });
    const empty = run("exactNgd", [], 1, { status: "damping 0: the Fisher matrix is singular" });
    const { html, page } = render([lost, empty, ...three.slice(1)]);
    assert.match(
      textOf(page.querySelector(".headline")),
      /^tengrad ends .* Without a finite loss: sgd, exactNgd\.$/,
    );
    const rows = results(page);
    assert.deepEqual(
      rows.slice(1).map(([name]) => name),
      ["tengrad", "adam", "sgd", "exactNgd"],
    );
    assert.deepEqual(rows[3].slice(1, 4), ["NaN", "NaN", "NaN"]);
    assert.equal(rows[3].at(-1), "diverged: the loss is NaN at step 31");
    assert.deepEqual(rows[4].slice(1, 6), ["–", "–", "–", "–", "–"]);
    assert.equal(rows[4].at(-1), "no epoch finished: damping 0: the Fisher matrix is singular");
    const figure = page.querySelector("figure")!;
    assert.match(
      textOf(figure),
      /× marks the last finite loss of a diverged run \(sgd\)\. Not drawn, .*: exactNgd\./,
    );
    const ticks = [...figure.querySelectorAll("[aria-label='y-axis tick label'] text")].map(textOf);
    assert.ok(ticks.length >= 2 && ticks.every((tick) => Number(tick) <= 1), ticks.join());
    assert.doesNotMatch(figure.innerHTML, /NaN|Infinity/);
    assert.equal(renderReport(context, [lost, empty, ...three.slice(1)]), html);
  });

  it("may be all there are", () => {
    const lost = [run("sgd", [Number.NaN]), run("adam", [Number.POSITIVE_INFINITY]), run("tengrad", [])];
    const { page } = render(lost);
    assert.equal(textOf(page.querySelector(".headline")), "None of the 3 runs ended with a finite loss.");
    assert.equal(page.querySelectorAll("svg").length, 0);
    assert.equal(results(page).length, 4);
    assert.equal(textOf(render([lost[0]]).page.querySelector(".headline")), "sgd diverged at once.");
  });

  it("leave one that is the only one", () => {
    const { page } = render([run("sgd", [Number.NaN]), run("adam", [0.5])]);
    assert.match(
      textOf(page.querySelector(".headline")),
      /^adam is the only one of 2 runs that ended with a finite loss/,
    );
  });

  it("may have seen nothing but infinity and a little data", () => {
    const { page } = render([run("sgd", [0.5, Number.POSITIVE_INFINITY])]);
    assert.equal(
      textOf(page.querySelector(".headline")),
      "sgd diverged after epoch 1, at a training loss of 0.5000.",
    );
    assert.equal(page.querySelectorAll("figure")[0].querySelectorAll("svg").length, 2);
  });
});

describe("losses that a logarithm does not take", () => {
  it("turn the axis linear when they are negative", () => {
    const { page } = render([run("sgd", [0.5, -0.2]), run("adam", [0.1, -0.7])]);
    assert.match(textOf(page.querySelector("figure")), /linear because some losses are negative/);
    assert.match(
      textOf(page.querySelector(".headline")),
      /^adam ends with the lowest validation loss, 0\.5500 below sgd/,
    );
  });

  it("lie on the lower edge when they are zero", () => {
    const { page } = render([run("sgd", [0.5, 0]), run("adam", [0.1, 0.01])]);
    assert.match(textOf(page.querySelector("figure")), /A loss of exactly 0 is drawn on the lower edge/);
    assert.match(
      textOf(page.querySelector(".headline")),
      /^sgd ends with the lowest validation loss, 0\.01100 below adam/,
    );
    assert.doesNotMatch(page.querySelector("svg")!.outerHTML, /NaN|Infinity/);
  });
});

describe("what the user wrote", () => {
  const nasty = `<script>alert("1")</script> & 'x'`;

  it("is text wherever it stands", () => {
    const hostile = run(nasty, [0.5, 0.1], 1, {
      ...{ optimizer: nasty, status: nasty, options: { [nasty]: nasty } },
      curvature: [
        { parameters: [nasty], structure: nasty, solver: nasty, dimension: 1, memoryBytes: 1, note: nasty },
      ],
    });
    hostile.epochs[1].notices = [nasty];
    for (const record of hostile.epochs) record.metric!.name = nasty;
    const trial = {
      optimizer: nasty,
      options: { [nasty]: nasty },
      validationLoss: 1,
      epochs: 1,
      diverged: false,
    };
    const { html, page } = render([hostile, run("adam", [0.3])], {
      ...{ title: nasty, command: nasty, model: nasty, environment: [nasty], createdAt: nasty },
      dataset: { name: nasty, rows: 1, features: 1, task: nasty, notices: [nasty] },
      tuning: { grid: { [nasty]: [nasty] }, trials: [trial] },
    });
    assert.doesNotMatch(html, /<script/i);
    assert.equal(page.querySelectorAll("script").length, 0);
    assert.equal(page.querySelector("h1")!.textContent, nasty);
    assert.equal(page.querySelector("pre code")!.textContent, nasty);
    assert.ok(texts(page, "svg title").includes(nasty), "the chart's label carries the whole name");
  });

  it("keeps runs of one name apart", () => {
    const { page } = render([run("adam", [0.5]), run("adam", [0.1])]);
    assert.deepEqual(
      results(page)
        .slice(1)
        .map(([name]) => name),
      ["adam (2)", "adam"],
    );
  });
});

describe("tuning", () => {
  it("shows the grid, the chosen settings and every trial", () => {
    const trial = (optimizer: string, learningRate: number, validationLoss: number) => ({
      ...{
        optimizer,
        options: { learningRate },
        validationLoss,
        epochs: 2,
        diverged: Number.isNaN(validationLoss),
      },
    });
    const trials = [
      trial("sgd", 0.1, 0.5),
      trial("sgd", 1, Number.NaN),
      trial("adam", 0.1, 0.4),
      trial("adam", 1, 0.3),
    ];
    const { page } = render(three, { tuning: { grid: { learningRate: [0.1, 1] }, trials } });
    const tables = [...page.querySelectorAll("table")].slice(2);
    const [chosen, every] = tables.map((table) =>
      [...table.querySelectorAll("tr")].slice(1).map((row) => [...row.children].map(textOf)),
    );
    assert.deepEqual(chosen, [
      ["sgd", "learningRate 0.1", "0.5000", "2", "1"],
      ["adam", "learningRate 1", "0.3000", "2", "0"],
    ]);
    assert.deepEqual(
      every.map((row) => row[2]),
      ["0.5000", "diverged", "0.3000", "0.4000"],
    );
    assert.ok(texts(page, "li").includes("learningRate: 0.1, 1"));
  });
});

describe("the process that renders", () => {
  it("ends by itself: the charts leave no timer behind", () => {
    const module = new URL("../../src/report/index.ts", import.meta.url).href;
    const runs = new URL("runs.ts", import.meta.url).href;
    const script = `const { renderReport } = await import(${JSON.stringify(module)});
      const { context, three } = await import(${JSON.stringify(runs)});
      console.log(renderReport(context, three).length > 10000);`;
    const cwd = fileURLToPath(new URL("../..", import.meta.url));
    const options = { cwd, encoding: "utf8", timeout: 30_000 } as const;
    const output = execFileSync(
      process.execPath,
      ["--import", "tsx", "--input-type=module", "-e", script],
      options,
    );
    assert.equal(output, "true\n");
  });
});
