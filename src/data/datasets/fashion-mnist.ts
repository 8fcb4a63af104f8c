import { idxSet } from "./idx-set.ts";

/** Fashion-MNIST: Zalando's articles in MNIST's format, 6,000 and 1,000 images of each class. */
export const fashionMnist = idxSet({
  name: "fashion-mnist",
  summary: "articles of clothing, 28 by 28 gray pixels",
  licence: "MIT",
  source:
    "https://github.com/zalandoresearch/fashion-mnist (H. Xiao, K. Rasul, R. Vollgraf, arXiv:1708.07747)",
  url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
  sha256: {
    trainImages: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    trainLabels: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    testImages: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    testLabels: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
  },
  classNames: [
    ...["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"],
    ...["Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"],
  ],
});
