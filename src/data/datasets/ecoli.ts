import { tabular } from "./tabular.ts";

/** Localization sites of proteins in E. coli: eight very unequal classes (143 to 2 rows) from seven scores. */
export const ecoli = tabular({
  name: "ecoli",
  summary: "where in E. coli a protein goes, from seven sequence scores",
  task: "classification",
  rows: 336,
  inputs: 7,
  licence: "CC BY 4.0",
  source: "https://archive.ics.uci.edu/dataset/39/ecoli (K. Nakai, 1996, doi:10.24432/C5388M)",
  file: {
    name: "ecoli.data",
    url: "https://archive.ics.uci.edu/ml/machine-learning-databases/ecoli/ecoli.data",
    sha256: ["008bd8fbb1d8b34040c3c8c4e987cac2a7ebf116e008b140cc6441be5261ba1d"],
  },
  target: "class",
  drop: ["sequence name"],
  hints: {
    columnNames: ["sequence name", "mcg", "gvh", "lip", "chg", "aac", "alm1", "alm2", "class"],
  },
  notice: "ecoli: left out the sequence name",
});
