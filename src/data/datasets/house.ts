import { tabular } from "./tabular.ts";

/**
 * House sales in King County, Washington, May 2014 to May 2015: the logarithm of the price from 17 measurements.
 *
 * Left out: the identifier, the date of sale (one year, next to no trend) and the zip code (a number without
 * a scale; latitude and longitude say the same).
 */
export const house = tabular({
  name: "house",
  summary: "house prices in King County from size, age, grade and place",
  task: "regression",
  rows: 21_613,
  inputs: 17,
  licence: "CC0 (as listed)",
  source: "https://www.kaggle.com/datasets/harlfoxem/housesalesprediction",
  file: {
    name: "kc_house_data.csv.gz",
    sha256: [
      "6c896a24ac3e559244312d1e22a21c1da1a0cc5213b2241a9c564137e96284db",
      "d0875baa0251b21d4bdc9d2ae940a4fe0bb6009824f23dd0e2a5b2bf04557b7e",
    ],
  },
  target: "price",
  logTarget: true,
  drop: ["id", "date", "zipcode"],
  notice: "house: left out id, date and zipcode (latitude and longitude stay)",
});
