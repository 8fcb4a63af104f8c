import { cifarSet } from "./cifar-set.ts";

const source = "https://www.cs.toronto.edu/~kriz/cifar.html (A. Krizhevsky, 2009)";
const licence = "none stated; published for research";

/** CIFAR-10: ten kinds of animals and vehicles, 5,000 and 1,000 pictures of each. */
export const cifar10 = cifarSet({
  name: "cifar10",
  folders: ["cifar-10", "cifar-10-batches-bin"],
  summary: "animals and vehicles, 32 by 32 colour pixels, 10 classes",
  licence,
  source,
  archive: {
    name: "cifar-10-binary.tar.gz",
    url: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    sha256: ["c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"],
  },
  training: [1, 2, 3, 4, 5].map((batch) => `data_batch_${batch}.bin`),
  test: "test_batch.bin",
  labelBytes: 1,
  classNames: [
    ...["airplane", "automobile", "bird", "cat", "deer"],
    ...["dog", "frog", "horse", "ship", "truck"],
  ],
});

/** CIFAR-100: a hundred kinds of things by their fine labels, 500 and 100 pictures of each. */
export const cifar100 = cifarSet({
  name: "cifar100",
  folders: ["cifar-100", "cifar-100-binary"],
  summary: "a hundred kinds of things, 32 by 32 colour pixels",
  licence,
  source,
  archive: {
    name: "cifar-100-binary.tar.gz",
    url: "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    sha256: ["58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"],
  },
  training: ["train.bin"],
  test: "test.bin",
  labelBytes: 2,
  classNames: [
    ...["apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle"],
    ...["bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle"],
    ...[
      "chair",
      "chimpanzee",
      "clock",
      "cloud",
      "cockroach",
      "couch",
      "crab",
      "crocodile",
      "cup",
      "dinosaur",
    ],
    ...[
      "dolphin",
      "elephant",
      "flatfish",
      "forest",
      "fox",
      "girl",
      "hamster",
      "house",
      "kangaroo",
      "keyboard",
    ],
    ...["lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle"],
    ...["mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear"],
    ...["pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon"],
    ...["ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail"],
    ...[
      "snake",
      "spider",
      "squirrel",
      "streetcar",
      "sunflower",
      "sweet_pepper",
      "table",
      "tank",
      "telephone",
    ],
    ...["television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale"],
    ...["willow_tree", "wolf", "woman", "worm"],
  ],
});
