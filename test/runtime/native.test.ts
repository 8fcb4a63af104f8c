import { conformance } from "./conformance.ts";

conformance("native");
