/** Names for the shapes of the API. schema.d.ts is generated from its OpenAPI: `npm run types`. */
import type { components } from './schema';

type Schemas = components['schemas'];

export type AcceptedJob = Schemas['AcceptedJob'];
export type AspectRatio = Schemas['AspectRatio'];
export type BatchPage = Schemas['BatchPage'];
export type BatchStatus = Schemas['BatchStatus'];
export type BatchSummary = Schemas['BatchSummary'];
export type CallerInfo = Schemas['CallerInfo'];
export type CheckResult = Schemas['CheckResult'];
export type CircuitChange = Schemas['CircuitChange'];
export type CircuitState = Schemas['CircuitState'];
export type CircuitStatus = Schemas['CircuitStatus'];
export type CredentialAction = Schemas['CredentialAction'];
export type Credentials = Schemas['Credentials'];
export type DeliveredCredentials = Schemas['DeliveredCredentials'];
export type CredentialsState = Schemas['CredentialsState'];
export type DependencyHealth = Schemas['DependencyHealth'];
export type ErrorCode = Schemas['ErrorCode'];
export type ThinkingLevel = Schemas['ThinkingLevel'];
export type GuardedDependency = Schemas['GuardedDependency'];
export type GuardrailLimits = Schemas['GuardrailLimits'];
export type GuardrailVerdict = Schemas['GuardrailVerdict'];
export type HealthReport = Schemas['HealthReport'];
export type ImageSize = Schemas['ImageSize'];
export type Ingredient = Schemas['Ingredient'];
export type JobPage = Schemas['JobPage'];
export type JobState = Schemas['JobState'];
export type JobStatus = Schemas['JobStatus'];
export type Manifest = Schemas['Manifest'];
export type PictureName = Schemas['PictureName'];
export type Quote = Schemas['Quote'];
export type RefusedBatchItem = Schemas['RefusedBatchItem'];
export type Role = Schemas['Role'];
export type SpendReport = Schemas['SpendReport'];
export type SpendSums = Schemas['SpendSums'];
export type Stage = Schemas['Stage'];
export type StageState = Schemas['StageState'];
export type StageStatus = Schemas['StageStatus'];
export type UnknownPayment = Schemas['UnknownPayment'];

/** A problem from the API, or one that the dashboard made because no response of the API came. */
export type Problem = Pick<Schemas['Problem'], 'title' | 'status' | 'detail' | 'errors'> & { code: string };

/** What a report and a problem both say about a check of the guardrail. */
export type MeasuredCheck = Omit<CheckResult, 'code'>;

/** A line of `GET /api/v1/logs`, whose lines OpenAPI does not describe. */
export interface LogLine {
  id: number;
  timestamp: string;
  level: string;
  event: string;
  job_id: string | null;
  version: string;
  stage: string | null;
  [key: string]: unknown;
}
