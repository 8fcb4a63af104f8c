/**
 * TensorFlow.js on WebAssembly as a contender, one thread: the package takes several only in browsers.
 *
 * Usage: node --import tsx bench/peers/tensorflow.mjs PROBLEM
 *
 * The backward pass is written out, with explicit transpositions, because that is 5 to 10 times as fast as TensorFlow.js's own:
 * its products with a transposed factor leave the fast path (128×784 by 784×512: 4 ms plain, 60 ms transposed). TensorFlow.js has
 * no Cholesky factorization, so TENGraD's is plain JavaScript on the downloaded Gram matrix.
 */
import "@tensorflow/tfjs-backend-wasm";
import * as tf from "@tensorflow/tfjs-core";
import { readProblem } from "../problem.ts";
import { serve } from "../serve.ts";

const problem = readProblem(process.argv[2]);
const { samples, widths, task, refreshEvery } = problem;

await tf.setBackend("wasm");
const inputs = tf.tensor2d(problem.inputs, [samples, widths[0]]);
const targets =
  task === "classification"
    ? tf.cast(tf.oneHot(tf.tensor1d(Int32Array.from(problem.targets), "int32"), widths.at(-1)), "float32")
    : tf.tensor2d(problem.targets, [samples, widths.at(-1)]);

/** Weights are kept as (in, out), so that the forward pass needs no transposition. */
const layers = problem.layers.map(({ shape: [units, width], weight, bias }, l) => ({
  weight: tf.variable(tf.transpose(tf.tensor2d(weight, [units, width])), true, `weight${l}`),
  bias: tf.variable(tf.tensor1d(bias), true, `bias${l}`),
  activation: l < problem.layers.length - 1 ? problem.activation : "linear",
}));

const optimizer =
  problem.optimizer === "adam"
    ? tf.train.adam(problem.learningRate, 0.9, 0.999, 1e-8)
    : tf.train.momentum(problem.learningRate, problem.momentum);

/** Layer inputs (N, F) and the network's outputs (N, C). */
function forward() {
  const activations = [inputs];
  for (const { weight, bias, activation } of layers) {
    const fused = activation === "relu" ? "relu" : "linear";
    const z = tf.fused.matMul({ a: activations.at(-1), b: weight, bias, activation: fused });
    activations.push(activation === "tanh" ? tf.tanh(z) : z);
  }
  return { activations, outputs: activations.pop() };
}

/** Mean loss, and per-sample gradients of the outputs (N, C). */
function lossOf(outputs) {
  if (task === "regression") {
    const residuals = tf.sub(outputs, targets);
    return { loss: tf.div(tf.sum(tf.square(residuals)), 2 * samples), delta: residuals };
  }
  const logProbabilities = tf.logSoftmax(outputs);
  return {
    loss: tf.div(tf.sum(tf.mul(logProbabilities, targets)), -samples),
    delta: tf.sub(tf.exp(logProbabilities), targets),
  };
}

/** Per-sample gradients (N, O) of each layer's pre-activations. */
function backward(activations, outputDelta) {
  const deltas = [outputDelta];
  for (let l = layers.length - 1; l > 0; l--) {
    const back = tf.matMul(deltas[0], tf.transpose(layers[l].weight));
    const a = activations[l];
    const slope = problem.activation === "tanh" ? tf.sub(1, tf.square(a)) : tf.step(a);
    deltas.unshift(tf.mul(back, slope));
  }
  return deltas;
}

function gradientOf(a, delta) {
  return {
    weight: tf.div(tf.matMul(tf.transpose(a), delta), samples),
    bias: tf.div(tf.sum(delta, 0), samples),
  };
}

/** TENGraD: per layer the inputs, the deltas and the Cholesky factor of K + λI, kept until the next refresh. */
const kept = [];

function refresh(activations, deltas) {
  for (let l = 0; l < layers.length; l++) {
    const [a, delta] = [activations[l], deltas[l]];
    const covariance = tf.add(tf.matMul(a, tf.transpose(a)), 1);
    const gram = tf.div(tf.mul(tf.matMul(delta, tf.transpose(delta)), covariance), samples);
    for (const tensor of Object.values(kept[l]?.tensors ?? {})) tensor.dispose();
    kept[l] = {
      tensors: { a: tf.keep(a.clone()), transposed: tf.keep(tf.transpose(a)), delta: tf.keep(delta.clone()) },
      factor: cholesky(Float64Array.from(gram.dataSync()), samples, problem.damping),
    };
  }
}

/** (g − Sᵀ(K + λI)⁻¹Sg / N) / λ of one layer. */
function precondition({ weight, bias }, { tensors: { a, transposed, delta }, factor }) {
  const products = tf.mul(tf.add(tf.matMul(a, weight), bias), delta);
  const solution = solve(factor, samples, Float64Array.from(tf.sum(products, 1).dataSync()));
  const weighted = tf.mul(delta, tf.tensor2d(Float32Array.from(solution), [samples, 1]));
  const direction = (g, correction) => tf.div(tf.sub(g, tf.div(correction, samples)), problem.damping);
  return {
    weight: direction(weight, tf.matMul(transposed, weighted)),
    bias: direction(bias, tf.sum(weighted, 0)),
  };
}

/** Factor L of K + λI = LLᵀ, in the lower triangle of k. */
function cholesky(k, n, damping) {
  for (let i = 0; i < n; i++) {
    k[i * n + i] += damping;
    for (let j = 0; j <= i; j++) {
      let sum = k[i * n + j];
      for (let p = 0; p < j; p++) sum -= k[i * n + p] * k[j * n + p];
      k[i * n + j] = i === j ? Math.sqrt(sum) : sum / k[j * n + j];
    }
  }
  return k;
}

/** Solves LLᵀx = b in place. */
function solve(l, n, x) {
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) x[i] -= l[i * n + j] * x[j];
    x[i] /= l[i * n + i];
  }
  for (let i = n - 1; i >= 0; i--) {
    x[i] /= l[i * n + i];
    for (let j = 0; j < i; j++) x[j] -= l[i * n + j] * x[i];
  }
  return x;
}

let count = 0;

function step() {
  return tf.tidy(() => {
    const { activations, outputs } = forward();
    const { loss, delta } = lossOf(outputs);
    const deltas = backward(activations, delta);
    let directions = layers.map((_, l) => gradientOf(activations[l], deltas[l]));
    if (problem.optimizer === "tengrad") {
      if (count % refreshEvery === 0) refresh(activations, deltas);
      directions = directions.map((gradient, l) => precondition(gradient, kept[l]));
    }
    count++;
    const named = directions.flatMap(({ weight, bias }, l) => [
      [`weight${l}`, weight],
      [`bias${l}`, bias],
    ]);
    optimizer.applyGradients(Object.fromEntries(named));
    return loss.dataSync()[0];
  });
}

await serve(`TensorFlow.js ${tf.version_core} wasm, SIMD, 1 thread`, step, refreshEvery);
