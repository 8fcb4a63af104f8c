/** Networks for images: those of the papers, and a small one. */
export { type DenseNetOptions, denseNet } from "./dense-net.ts";
export { mobileNetV2 } from "./mobile-net-v2.ts";
export { type SmallConvNetOptions, smallConvNet } from "./small-conv-net.ts";
export { threeC1F } from "./three-c1f.ts";
export { type WideResNetOptions, wideResNet } from "./wide-res-net.ts";
