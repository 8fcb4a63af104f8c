import { tabular } from "./tabular.ts";

/**
 * Hourly weather in Szeged, Hungary, 2006 to 2016: apparent temperature from what a weather station measures.
 *
 * Eight inputs, the 8-4-1 network's: temperature, humidity, wind speed, wind bearing, visibility, pressure, and the
 * indicators of rain and snow (neither in the 517 rows whose precipitation is `null`). A pressure of 0 means that it was
 * not measured. The time stamp and the two texts that sum up the weather are left out.
 */
export const weather = tabular({
  name: "weather",
  summary: "apparent temperature in Szeged from hourly measurements, 2006 to 2016",
  task: "regression",
  rows: 96_453,
  inputs: 8,
  licence: "CC BY-NC-SA 4.0 (as listed for one edition)",
  source: "https://www.kaggle.com/datasets/muthuj7/weather-dataset",
  file: {
    name: "weatherHistory.csv.gz",
    sha256: [
      "0afbc6804e858b5e597b23088176f31730c57cacbc700a5d3a6c288be07611f6",
      "22c028ceb97c6ad405831dfda61f0235532d9ab873229ff57ce4240853ef0a1f",
    ],
  },
  target: "Apparent Temperature (C)",
  drop: ["Formatted Date", "Summary", "Daily Summary", "Loud Cover"],
  hints: { missing: { "Pressure (millibars)": ["0", "0.0"] } },
  notice:
    "weather: left out the time stamp, both summaries and Loud Cover (always 0); a pressure of 0 counts as missing",
});
