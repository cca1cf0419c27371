import { Link } from 'react-router';
import { buttonClass } from '../components/button';
import { PageHeading } from '../components/page';

export function NotFoundPage() {
  return (
    <>
      <PageHeading title="Page not found">The address is wrong, or the page has moved.</PageHeading>
      <Link to="/jobs" className={buttonClass('primary')}>
        Go to jobs
      </Link>
    </>
  );
}
