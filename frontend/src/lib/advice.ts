import type { ErrorCode } from '../api/types';

const BY_CODE: Partial<Record<ErrorCode, string>> = {
  payment_unknown:
    "The paid call may have been charged. An operator has to check the provider's bill and settle the payment under Operations; then the job can be retried.",
  budget_usd_per_day: 'The budget for today is used up. Retry after midnight UTC, or ask an operator to raise it.',
  quota_usd_per_day: 'Your own budget for today is used up. Retry after midnight UTC, or ask for a higher quota.',
  quota_jobs_per_minute: 'Wait a minute, then send the photo again.',
  quota_concurrent_jobs: 'Wait until one of your open jobs has ended, or cancel one.',
  no_subject_found: 'Choose a photo in which one subject stands out from its background.',
  gpu_out_of_memory: 'The picture is too large for the GPU even in the smallest tiles. Send a smaller one.',
  deadline_exceeded:
    'The job waited longer than its deadline. Its log shows what it waited for. Retry it: finished stages are kept.',
  restarts_exhausted: 'The job was interrupted too often. Its log shows where. Retry it when the cause is fixed.',
  orchestration_terminated: 'Somebody terminated the orchestration. A retry continues where it stopped.',
  nano_banana_safety: 'The image model rejected this scene. Change the prompt and send the photo again.',
  nano_banana_no_image: 'The image model returned no picture. Retry, or write a simpler prompt.',
  placed_picture_rejected: 'The picture may not be shown. Change the prompt, or retry: another picture is paid again.',
  nano_banana_payment_required: "The provider's prepaid balance is empty. Top it up, then retry.",
  nano_banana_forbidden: 'The image model does not accept the key. An operator has to replace NANO_BANANA_API_KEY.',
  nano_banana_not_configured: 'The key for the image model is not set. An operator has to set NANO_BANANA_API_KEY.',
  nano_banana_token_refused:
    "Google does not accept the app's identity. An operator has to check NANO_BANANA_PROVIDER and the pool it names.",
  nano_banana_model_not_found:
    'The image model does not exist any more. An operator has to set another model in NANO_BANANA_PROVIDER.',
  nano_banana_quota_exhausted: "The provider's quota is used up. Retry tomorrow, or raise the quota with the provider.",
  job_not_found: 'Look for it under Jobs: it may belong to somebody else.',
  source_not_found: 'The uploaded picture does not exist any more. Upload it again.',
  source_changed: 'The upload was overwritten while the job ran. Upload the picture you want again.',
  upload_unreadable: 'The upload could not be read. Upload it again.',
  prompt_empty: 'Describe the scene in a sentence.',
  prompt_too_long: 'Shorten the prompt.',
  prompt_injection: 'Describe only the scene, without instructions to the model.',
  prompt_blocked: 'Remove the blocked words from the prompt.',
  file_too_large: 'Send a smaller file.',
  too_many_pixels: 'Scale the picture down first.',
  image_too_large: 'Scale the picture down first.',
  image_too_small: 'Send a larger picture.',
  unsupported_image_type: 'Send a JPEG, PNG or WebP.',
  content_type_mismatch:
    "The file's extension does not match its content. Save it again in the format of its extension.",
  truncated_image: 'The file is incomplete or damaged. Copy it again from the original.',
  damaged_image: 'The file is damaged. Copy it again from the original.',
  too_dark: 'Take the photo with more light.',
  too_bright: 'Take the photo with less light.',
  too_blurry: 'Take a sharper photo.',
  blank_image: 'The picture is blank. Choose another one.',
  too_many_frames: 'Send a still picture, not an animation.',
  image_expired: 'The pictures were deleted because of their age. Upload the photo again.',
  job_expired: 'The pictures were deleted because of their age. Upload the photo again.',
  missing_api_key: 'Sign in first.',
  invalid_api_key: 'Check the key, or ask for a new one.',
};

/** What to do about an error code; null if there is no advice. */
export function advice(code: string | null | undefined, canRetry = false): string | null {
  const found = BY_CODE[code as ErrorCode];
  if (found) return found;
  return canRetry
    ? 'A retry continues at the stage that failed. Finished stages are kept and not paid for again.'
    : null;
}
