import { conformance } from "./conformance.ts";

conformance("web");
