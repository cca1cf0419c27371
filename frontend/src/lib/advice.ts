const BY_CODE: Record<string, string> = {
  payment_unknown:
    "The paid call may have been charged. An operator has to look at the provider's bill and settle it under Operations; then the job can be retried.",
  budget_usd_per_day: 'The budget of the day is used up. Retry after midnight UTC, or ask an operator to raise it.',
  quota_usd_per_day: 'Your own budget of the day is used up. Retry after midnight UTC, or ask for a higher quota.',
  quota_jobs_per_minute: 'Wait a minute, then send it again.',
  quota_concurrent_jobs: 'Wait until one of your open jobs has ended, or cancel one.',
  no_subject_found: 'Choose a photo in which one subject stands out from its background.',
  gpu_out_of_memory: 'The picture is too large for the GPU even in the smallest tiles. Send a smaller one.',
  deadline_exceeded:
    'The job waited longer than it may. See what it waited for in its log, then retry: finished stages are kept.',
  restarts_exhausted: 'The job broke off again and again. Its log tells where; retry when that is mended.',
  orchestration_terminated: 'Somebody ended the orchestration by hand. Retry takes it up where it stopped.',
  nano_banana_safety: 'The image model rejected this scene. Change the prompt and send the photo again.',
  nano_banana_no_image: 'The image model answered without a picture. Retry, or word the prompt more plainly.',
  nano_banana_payment_required: "The provider's prepaid balance is empty. Top it up, then retry.",
  nano_banana_forbidden: 'The key of the image model is not accepted. An operator has to replace NANO_BANANA_API_KEY.',
  nano_banana_not_configured: 'No key for the image model is set. An operator has to set NANO_BANANA_API_KEY.',
  nano_banana_model_not_found: 'The image model is gone. An operator has to set another NANO_BANANA_MODEL.',
  nano_banana_quota_exhausted: "The provider's quota is used up. Retry tomorrow, or raise it there.",
  source_not_found: 'The uploaded picture is gone. Send it again.',
  source_changed: 'The upload was overwritten while the job ran. Send the picture you mean again.',
  upload_unreadable: 'The upload could not be read. Send it again.',
  prompt_empty: 'Describe the scene in a sentence.',
  prompt_too_long: 'Shorten the prompt.',
  prompt_injection: 'Describe the scene only; leave out instructions to the model.',
  prompt_blocked: 'Leave the blocked words out of the prompt.',
  file_too_large: 'Send a smaller file.',
  too_many_pixels: 'Scale the picture down first.',
  image_too_large: 'Scale the picture down first.',
  image_too_small: 'Send a larger picture.',
  unsupported_image_type: 'Send a JPEG, PNG or WebP.',
  content_type_mismatch: "The file's ending and its content differ. Save it anew in the format it claims to be.",
  truncated_image: 'The file is cut off or damaged. Copy it again from where it came.',
  damaged_image: 'The file is damaged. Copy it again from where it came.',
  too_dark: 'Take the photo with more light.',
  too_bright: 'Take the photo with less light.',
  too_blurry: 'Take a sharper photo.',
  blank_image: 'The picture shows nothing. Choose another one.',
  too_many_frames: 'Send a still picture, no animation.',
  image_expired: 'The pictures were deleted because of their age. Upload the photo again.',
  job_expired: 'The pictures were deleted because of their age. Upload the photo again.',
  missing_api_key: 'Sign in first.',
  invalid_api_key: 'Check the key, or ask for a new one.',
};

/** What to do about an error code. */
export function advice(code: string | null | undefined, canRetry = false): string | null {
  if (code && BY_CODE[code]) return BY_CODE[code];
  return canRetry ? 'Retry goes on at the stage that failed; finished stages are kept and not paid again.' : null;
}
