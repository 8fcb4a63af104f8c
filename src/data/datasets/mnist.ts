import { idxSet } from "./idx-set.ts";

/**
 * MNIST: handwritten digits, 28 × 28 gray pixels, 0 the background.
 *
 * The files come from PyTorch's mirror: the authors' own page no longer gives them out.
 */
export const mnist = idxSet({
  name: "mnist",
  summary: "handwritten digits, 28 by 28 gray pixels",
  licence: "CC BY-SA 3.0 (as usually given)",
  source: "http://yann.lecun.com/exdb/mnist/ (Y. LeCun, C. Cortes, C. Burges)",
  url: "https://ossci-datasets.s3.amazonaws.com/mnist/",
  sha256: {
    trainImages: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    trainLabels: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    testImages: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    testLabels: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
  },
  classNames: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
});
