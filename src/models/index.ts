/** Networks of the papers, as models to train. */
export { type DenseNetOptions, denseNet } from "./dense-net.ts";
export { mobileNetV2 } from "./mobile-net-v2.ts";
export { threeC1F } from "./three-c1f.ts";
export { type WideResNetOptions, wideResNet } from "./wide-res-net.ts";
